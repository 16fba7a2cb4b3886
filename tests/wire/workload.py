"""Seeded random work for a fleet, and the judgement of what came of it.

    work = Workload(fleet, "work.fifo", seed)
    work.create()
    work.start()                # senders of messages and of jobs, and an observer of results
    ...                         # what is to happen meanwhile
    work.finish()               # no more is sent; all that was accepted is answered
    work.judge(f"SEED={seed}")  # fails with what is not as it is owed, and the logs

Each group is sent by one thread, a message after the one before was accepted, or by several that send the same. Where a queue
knows ids of its messages (FIFO), what got no answer is sent again with the same id until it has one, and some that had one too;
the messages of a standard queue that got none may be there or not. Some messages are poison. Jobs carry an Idempotency-Key and
are sent again in the same way.

The observer reads the results again and again: each is there once, stays as it is, and is never seen before an earlier one of
its group, whatever clocks say.
"""
import collections
import json
import random
import threading
import time

from fleet import Caller
from history import History
from sqs_client import Refused, SqsClient, Unknown

NUMBERS_MAX = 150  # of one group: so that all results fit one page
PAGE = 1000


class Workload:
    def __init__(self, fleet, queue, seed, groups=4, poison=0.05, again=0.1, pause_s=0.05, jobs=None, visibility_s=2,
                 attributes=None, calm_clock=True, rivals=1, numbers_max=NUMBERS_MAX,
                 resends=None):
        self.fleet, self.queue, self.chance = fleet, queue, random.Random(seed)
        self.fifo = queue.endswith(".fifo")
        self.groups, self.poison, self.again, self.pause_s = groups, poison, again, pause_s
        self.resends = self.fifo if resends is None else resends  # what got no answer
        self.model = jobs  # whom the jobs ask; None: there are none
        self.visibility_s, self.attributes, self.calm_clock = visibility_s, attributes or {}, calm_clock
        self.rivals, self.numbers_max = rivals, numbers_max  # senders of each group, all of the same messages
        self.messages, self.jobs = History(), History()
        self.ids = collections.defaultdict(set)  # of the jobs of a key
        self.seen = {}  # id of a record: (key, what it said)
        self.poisoned, self.found, self.refusals = set(), [], collections.Counter()
        self.sending = threading.Event()
        self.observing = threading.Event()
        self.threads = []
        self.observations = 0

    # ---- the queues

    @property
    def dead(self):
        return self.queue.replace(".fifo", "") + "-dead" + (".fifo" if self.fifo else "")

    def create(self):
        caller = self.caller()
        fifo = {"FifoQueue": "true"} if self.fifo else {}
        policy = json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:000000000000:{self.dead}", "maxReceiveCount": 1000})
        caller.patiently(caller.sqs, "CreateQueue", QueueName=self.dead, Attributes=fifo | self.attributes)
        caller.patiently(caller.sqs, "CreateQueue", QueueName=self.queue, Attributes=fifo | self.attributes | {
            "VisibilityTimeout": str(self.visibility_s), "RedrivePolicy": policy})
        caller.close()

    def caller(self):
        return Caller(self.fleet, random.Random(self.chance.random()))

    # ---- sending

    def start(self):
        self.sending.set(), self.observing.set()
        for number in range(self.groups):
            seed = self.chance.random()
            for _ in range(self.rivals):
                self.run(self.send_group, f"g{number}", random.Random(seed), random.Random(self.chance.random()))
                if self.model:
                    self.run(self.send_jobs, f"j{number}", random.Random(self.chance.random()))
        self.run(self.observe)

    def run(self, function, *arguments):
        def guarded():
            try:
                function(*arguments)
            except Exception as problem:  # a thread's failure is the test's
                self.found.append(f"{function.__name__}: {problem!r}")

        self.threads.append(threading.Thread(target=guarded, daemon=True))
        self.threads[-1].start()

    def send_group(self, group, content, chance):
        """`content` decides what is sent, the same for all rivals; `chance` the rest."""
        caller, number, accepted = self.caller(), 0, 0
        while self.sending.is_set() and accepted < self.numbers_max:
            count = content.choice([1, 1, 1, 2, 5])
            batch = [self.message(group, number + i, content) for i in range(count)]
            number += count
            for key, one, _ in batch:
                self.messages.tried(key, group, one)
            if self.accepted(caller, batch):
                accepted += count
                for key, one, _ in batch:
                    self.messages.sent(key, group, one)
                if self.fifo and chance.random() < self.again:
                    self.try_once(caller, batch)
            time.sleep(chance.uniform(0.003, 2 * self.pause_s))
        caller.close()

    def message(self, group, number, chance):
        key = f"{group}-{number}"
        body = json.dumps([int(group[1:]), number])
        if chance.random() < self.poison:
            self.poisoned.add(key)
            body = f"poison {group[1:]} {number}"
        ids = {"MessageGroupId": group, "MessageDeduplicationId": key} if self.fifo else {}
        return key, number, {"MessageBody": body, **ids}

    def accepted(self, caller, batch):
        """True: all of it is durable. False: not known, and it is not sent again."""
        end = time.monotonic() + 60
        while True:
            answer = self.try_once(caller, batch)
            if answer or not self.resends:
                return answer
            assert time.monotonic() < end, f"{batch[0][0]} is not accepted"
            time.sleep(0.02)

    def try_once(self, caller, batch):
        url = SqsClient.url(self.queue)
        try:
            if len(batch) == 1:
                caller.sqs("SendMessage", QueueUrl=url, **batch[0][2])
                return True
            entries = [{"Id": str(i), **one[2]} for i, one in enumerate(batch)]
            reply = caller.sqs("SendMessageBatch", QueueUrl=url, Entries=entries)
            if reply.get("Failed"):
                self.found.append(f"a part of a batch was refused: {reply}")
            return not reply.get("Failed")
        except Unknown:
            return False
        except Refused as refused:
            self.check_refusal(refused.status, refused.body)
            return False

    def check_refusal(self, status, body):
        """What is refused here is worth another try, and says so."""
        self.refusals[status] += 1
        if status not in (429, 500, 503):
            self.found.append(f"refused for good: {status} {body[:300]}")

    def send_jobs(self, group, chance):
        caller, number = self.caller(), 0
        while self.sending.is_set() and number < self.numbers_max:
            key = f"{group}-{number}"
            self.jobs.tried(key, group, number)
            for _ in range(2 if chance.random() < self.again else 1):
                self.ids[key].add(self.submit(caller, group, number))
                self.jobs.sent(key, group, number)
            number += 1
            time.sleep(chance.uniform(0.003, 2 * self.pause_s))
        caller.close()

    def submit(self, caller, group, number):
        body = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [2], "data": [int(group[1:]), number]}]}
        end = time.monotonic() + 60
        while True:
            reply = caller.patiently(caller.request, "POST", f"/v2/models/{self.model}/jobs?group={group}", json.dumps(body),
                                     {"Idempotency-Key": f"{group}-{number}"})
            if reply.status != 400 or b"unknown model" not in reply.body or time.monotonic() > end:
                break
            time.sleep(0.05)  # a server that has just started is not ready yet
        assert reply.status in (200, 202), reply
        return reply.json()["id"]

    # ---- observing

    def observe(self):
        caller = self.caller()
        while self.observing.is_set():
            self.look(caller)
            time.sleep(0.2)
        caller.close()

    def look(self, caller, patience_s=0):
        """One look at all results. Newest first: of a page read in steps, the older rows are read later."""
        queries = [f"/v2/results?queue={self.queue}&limit={PAGE}&payload=true"]
        if self.model:
            queries.append(f"/v2/results?source=job&limit={PAGE}&payload=true")
        for query in queries:
            try:
                reply = caller.patiently(caller.request, "GET", query, patience_s=patience_s)
            except AssertionError:
                if patience_s:
                    raise
                continue
            if reply.status != 200:
                self.found.append(f"{query}: {reply}")
                continue
            page = reply.json()
            if page.get("next"):
                self.found.append("the results do not fit a page")
            self.note(page["results"])
        self.observations += 1

    def note(self, records):
        for record in records:
            if record["state"] in ("pending", "running"):
                continue
            key, group, number = self.name(record["input"])
            history = self.jobs if record["source"] == "job" else self.messages
            said = {name: record.get(name) for name in ("state", "done_us", "started_us", "attempts", "output", "status")}
            if record["id"] not in self.seen:
                self.seen[record["id"]] = (key, said)
                history.answered(f"j{key}" if record["source"] == "job" else f"g{key}",
                                 ("j" if record["source"] == "job" else "g") + group, number,
                                 at=(self.observations, number), result=record["id"])
                self.check_result(key, record)
            elif self.seen[record["id"]][1] != said:
                self.found.append(f"the result of {key} changed: {self.seen[record['id']]} {said}")

    @staticmethod
    def name(payload):
        if "text" in payload:
            _, group, number = payload["text"].split()
        else:
            content = payload["json"]
            group, number = content["inputs"][0]["data"] if isinstance(content, dict) else content
        return f"{group}-{number}", str(group), int(number)

    def check_result(self, key, record):
        wanted = "failed" if record["source"] == "queue" and f"g{key}" in self.poisoned else "succeeded"
        if record["state"] != wanted:
            self.found.append(f"{key} is {record['state']}: {record.get('error')}")
        elif wanted == "succeeded" and key.replace("-", ",") not in json.dumps(record["output"]).replace(" ", ""):
            self.found.append(f"{key} has the answer of another: {record['output']}")

    # ---- the end

    def finish(self, patience_s=60):
        """Stops sending, and waits for the rest; what is missing then is in problems()."""
        caller = self.caller()
        self.sending.clear()
        for thread in self.threads[:-1]:
            thread.join()
        end = time.monotonic() + patience_s
        while not self.is_done(caller) and time.monotonic() < end:
            time.sleep(0.2)
        self.observing.clear()
        self.threads[-1].join()
        self.look(caller, patience_s=30)
        self.check_queues(caller)
        caller.close()

    def is_done(self, caller):
        waiting = [event.key for event in list(self.messages.of("sent")) if not self.messages.results[event.key]]
        waiting += [event.key for event in self.jobs.of("sent") if not self.jobs.results[event.key]]
        return not waiting and self.depth(caller, self.queue) == 0

    def depth(self, caller, queue):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        reply = caller.patiently(caller.sqs, "GetQueueAttributes", QueueUrl=SqsClient.url(queue), AttributeNames=names)
        return sum(int(value) for value in reply["Attributes"].values())

    def check_queues(self, caller):
        """Nothing is left, and the dead-letter queue has the poison, each once."""
        left = self.depth(caller, self.queue)
        if left:
            self.found.append(f"{left} messages are left in {self.queue}")
        failed = sorted(key for key in self.poisoned if self.messages.results[key])
        buried = []
        while True:
            reply = caller.patiently(caller.sqs, "ReceiveMessage", QueueUrl=SqsClient.url(self.dead), MaxNumberOfMessages=10,
                                     VisibilityTimeout=600)
            if not reply.get("Messages"):
                break
            buried += ["g{1}-{2}".format(*message["Body"].split()) for message in reply["Messages"]]
            entries = [{"Id": str(i), "ReceiptHandle": one["ReceiptHandle"]} for i, one in enumerate(reply["Messages"])]
            caller.patiently(caller.sqs, "DeleteMessageBatch", QueueUrl=SqsClient.url(self.dead), Entries=entries)
        if sorted(buried) != failed:
            self.found.append(f"in the dead-letter queue are {sorted(buried)}, failed are {failed}")

    def problems(self):
        """Sentences; none is what the fleet owes."""
        found = list(self.found) + [f"one key, {len(ids)} jobs: {key}" for key, ids in self.ids.items() if len(ids) > 1]
        for history, ordered in ((self.messages, self.fifo), (self.jobs, True)):
            found += history.problems(fifo=False, answers=True, received=False)
            found += history.disorder() if ordered else []
        return found + (self.late() if self.calm_clock else [])

    def late(self):
        """The times that the results tell are in the order of their group as well."""
        found, last = [], {}
        ordered = sorted(self.seen.values(), key=lambda one: [int(part) for part in one[0].split("-")])
        return found if not self.fifo or self.model else found + [
            f"{key} was done before the one before it" for key, said in ordered if not self.follows(last, key, said)]

    @staticmethod
    def follows(last, key, said):
        group = key.split("-")[0]
        before, last[group] = last.get(group, 0), said["done_us"]
        return before <= said["done_us"] + 1000

    def judge(self, what, sent_min=30):
        problems = self.problems()
        print(f"{what}: {self.summary()}")
        if problems:
            raise AssertionError(f"{what}: {self.summary()}\n{chr(10).join(problems[:50])}\n{self.fleet.logs()}")
        assert self.count() >= sent_min, f"{what}: too little happened: {self.summary()}"

    def count(self):
        """What was accepted, each once."""
        return len({event.key for event in self.messages.of("sent")})

    def summary(self):
        return f"{self.count()} messages, {len(self.ids)} jobs, {len(self.poisoned)} poisoned, " \
               f"{self.observations} looks, refusals {dict(self.refusals)}"
