"""A history of what clients and workers saw of a queue, and what must be true of it.

    history = History()
    history.sent("a", group="g", number=1, id="...")      # acknowledged: durable from here on
    history.received("a", group="g", number=1, at=time.monotonic(), hidden_s=5, count=1, consumer="c1")
    history.deleted("a", at=...)                          # acknowledged
    history.answered("a", group="g", result=..., at=...)  # one row of the results store
    assert history.problems(fifo=True) == []

Keys are the test's own names of messages, unique in a history. Any thread. A send whose acknowledgement never came is
noted by `tried`: it may be there or not.
"""
import collections
import threading

Event = collections.namedtuple("Event", "kind key group number at end count consumer")


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.events = []
        self.results = collections.defaultdict(list)

    def note(self, kind, key, group=None, number=None, at=None, end=None, count=None, consumer=None):
        with self.lock:
            self.events.append(Event(kind, key, group, number, at, end, count, consumer))

    def tried(self, key, group=None, number=None):
        self.note("tried", key, group, number)

    def sent(self, key, group=None, number=None):
        self.note("sent", key, group, number)

    def received(self, key, group, number, at, hidden_s, count, consumer=None):
        """`at` is when the answer came: of two messages of a group, the later is leased only after the earlier was deleted."""
        self.note("received", key, group, number, at, at + hidden_s, count, consumer)

    def deleted(self, key, at):
        self.note("deleted", key, at=at)

    def answered(self, key, group, number, at, result):
        with self.lock:
            self.results[key].append(result)
            self.events.append(Event("answered", key, group, number, at, None, None, None))

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    # ---- what must hold -------------------------------------------------------------------------

    def problems(self, fifo, answers=False, received=True):
        """Sentences; none is what a queue owes. `answers`: every message has exactly one result."""
        found = self.unknown()
        if received:
            found += self.lost() + self.counts_that_fall()
        if answers:
            found += self.unanswered() + self.answered_twice()
        if fifo:
            found += self.overtaken() + self.disorder()
        return found

    def known(self):
        return {event.key for event in self.events if event.kind in ("tried", "sent")}

    def unknown(self):
        known = self.known()
        strangers = {event.key for event in self.events if event.key not in known}
        return [f"{key} was never sent" for key in sorted(strangers)]

    def lost(self):
        seen = {event.key for event in self.of("received")}
        return [f"{event.key} was acknowledged and never received" for event in self.of("sent") if event.key not in seen]

    def counts_that_fall(self):
        """Each receive of a message has a higher count than the one before."""
        found, last = [], {}
        for event in sorted(self.of("received"), key=lambda event: event.at):
            if event.count is not None and event.count <= last.get(event.key, 0):
                found.append(f"{event.key} was received as number {event.count} after {last[event.key]}")
            last[event.key] = event.count or 0
        return found

    def unanswered(self):
        return [f"{event.key} was acknowledged and has no result" for event in self.of("sent")
                if not self.results[event.key]]

    def answered_twice(self):
        return [f"{key} has {len(results)} results" for key, results in sorted(self.results.items()) if len(results) > 1]

    def groups(self, kind):
        groups = collections.defaultdict(list)
        for event in self.of(kind):
            groups[event.group].append(event)
        return groups

    def overtaken(self):
        """No message of a group is first received before an earlier one of it was."""
        found = []
        for group, events in self.groups("received").items():
            first = {}
            for event in sorted(events, key=lambda event: (event.at, event.number)):
                first.setdefault(event.number, len(first))
            order = [number for number, _ in sorted(first.items(), key=lambda item: item[1])]
            found += [f"group {group}: {later} came before {earlier}"
                      for later, earlier in zip(order, order[1:]) if later > earlier]
        return found

    def disorder(self):
        """Results of a group are made in its order."""
        found = []
        for group, events in self.groups("answered").items():
            order = [event.number for event in sorted(events, key=lambda event: event.at)]
            found += [f"group {group}: {later} was answered before {earlier}"
                      for later, earlier in zip(order, order[1:]) if later > earlier]
        return found
