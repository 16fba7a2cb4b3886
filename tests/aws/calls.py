"""Stands in for services of AWS that are asked by single calls: CodeDeploy, Lambda, SNS, STS, Step Functions. Every request must
carry the signature that botocore makes, for the service that it is meant for.

    with Calls() as aws:
        aws.plan("GetCallerIdentity", 500, "reset")       # then as ever
        ... environment=aws.environment ...
        assert [call.operation for call in aws.seen] == ["GetCallerIdentity"] * 3

A plan's steps: a status, "reset", a pair of status and body, or a function of the call that returns such a pair.
"""
import http.server
import json
import os
import threading
import urllib.parse

import stub

ACCOUNT = "123456789012"
XML = "<{0}Response xmlns='https://x/'><{0}Result>{1}</{0}Result></{0}Response>"
# operation: its service, and what it answers
OPERATIONS = {
    "PutLifecycleEventHookExecutionStatus": ("codedeploy", b'{"lifecycleEventHookExecutionId":"e"}'),
    "Invoke": ("lambda", b'{"ok":true}'),
    "GetCallerIdentity": ("sts", XML.format("GetCallerIdentity", f"<Arn>arn:aws:iam::{ACCOUNT}:user/tester</Arn>"
                                            f"<UserId>AIDA</UserId><Account>{ACCOUNT}</Account>").encode()),
    "Publish": ("sns", XML.format("Publish", "<MessageId>m-1</MessageId>").encode()),
    "SendTaskSuccess": ("states", b"{}"),
    "SendTaskFailure": ("states", b"{}"),
    "SendTaskHeartbeat": ("states", b"{}"),
}


class Call:
    def __init__(self, handler, body):
        self.path, self.headers, self.body = handler.path, handler.headers, body
        target = self.headers.get("X-Amz-Target")
        self.form = dict(urllib.parse.parse_qsl(body.decode())) if "form" in self.headers.get("Content-Type", "") else {}
        self.operation = target.split(".")[1] if target else self.form.get("Action", "Invoke")
        self.target = target
        self.service = self.headers.get("Authorization", "////").split("/")[3]

    def json(self):
        return json.loads(self.body)


class Handler(stub.Handler):
    def handle_request(self):
        call = Call(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        service, body = OPERATIONS[call.operation]
        if not self.is_signed(call.body) or call.service != service:
            self.server.calls.wrong.append(call)
            return self.answer(403, b'{"__type":"InvalidSignatureException"}')
        step = self.server.calls.take(call)
        if step == "reset":
            return self.drop()
        if callable(step):
            step = step(call)
        if isinstance(step, int):
            step = (step, b'{"__type":"InternalError"}') if step != 200 else (200, body)
        return self.answer(*step)

    do_POST = handle_request


class Calls:
    def __init__(self):
        self.lock = threading.Lock()
        self.seen, self.wrong, self.plans = [], [], {}
        self.changed = threading.Condition(self.lock)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.calls = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.environment = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "eu-west-3", "AWS_ACCESS_KEY_ID": stub.KEY,
                            "AWS_SECRET_ACCESS_KEY": stub.SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
        # For what checks models: the leak checker's own tracer crashes now and then where it looks at the thread-local
        # memory of libraries that came and went while the process ran ("Tracer caught signal 11").
        self.checking_environment = {**self.environment,
                                     "LSAN_OPTIONS": f"{os.environ.get('LSAN_OPTIONS', '')}:use_tls=0"}

    def plan(self, operation, *steps):
        self.plans[operation] = list(steps)

    def take(self, call):
        with self.changed:
            self.seen.append(call)
            self.changed.notify_all()
            steps = self.plans.get(call.operation)
            return steps.pop(0) if steps else 200

    def wait_for(self, operation, count=1, seconds=60):
        """The calls of that operation, as soon as there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.of(operation)) >= count, seconds), [c.operation for c in self.seen]
            return self.of(operation)

    def of(self, operation):
        return [call for call in self.seen if call.operation == operation]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind, *arguments):
        self.server.shutdown()
        self.server.server_close()
        if kind is None:
            assert not self.wrong, [(call.operation, call.service) for call in self.wrong]
