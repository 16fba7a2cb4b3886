"""Between a client and SQS: passes requests on, and does to some of them what AWS does on a bad day.

    with Faults(endpoint) as proxy:
        proxy.plan("DeleteMessageBatch", "throttle", times=2)     # of these operations the next two
        ... endpoint_url=proxy.endpoint ...
        assert proxy.seen["DeleteMessageBatch"] == 3

What can be done: "throttle" (400 RequestThrottled), "error" (503), "reset" (the connection is reset, the request is not passed
on), "lose" (it is passed on, and its answer is lost), "partial" (of a batch, the first entry fails by the service's fault and
is not passed on), "garble" (bodies of messages arrive changed), "half" (half an answer).
"""
import collections
import http.client
import http.server
import json
import socket
import struct
import threading
import urllib.parse

THROTTLED = b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}'


class Faults:
    def __init__(self, endpoint):
        self.target = urllib.parse.urlparse(endpoint)
        self.plans = collections.defaultdict(list)
        self.seen = collections.Counter()
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.handle(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind, value, traceback):
        self.server.shutdown()
        self.server.server_close()

    def plan(self, operation, fault, times=1):
        with self.lock:
            self.plans[operation] += [fault] * times

    def left(self):
        with self.lock:
            return sum(len(plan) for plan in self.plans.values())

    def take(self, operation):
        with self.lock:
            self.seen[operation] += 1
            return self.plans[operation].pop(0) if self.plans[operation] else None

    def handle(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        operation = handler.headers.get("X-Amz-Target", ".").split(".")[1]
        fault = self.take(operation)
        if fault == "reset":
            return self.reset(handler)
        if fault == "throttle":
            return self.answer(handler, 400, THROTTLED)
        if fault == "error":
            return self.answer(handler, 503, b"<html>try later</html>")
        status, answer = self.pass_on(handler, self.without_first(body) if fault == "partial" else body)
        if fault == "lose":
            return self.reset(handler)
        if fault == "partial":
            whole = json.loads(answer or b"{}")
            whole.setdefault("Failed", []).append({"Id": json.loads(body)["Entries"][0]["Id"], "SenderFault": False,
                                                   "Code": "InternalError", "Message": "try later"})
            answer = json.dumps(whole).encode()
        if fault == "garble":
            whole = json.loads(answer)
            for message in whole.get("Messages", []):
                message["Body"] += " "
            answer = json.dumps(whole).encode()
        if fault == "half":
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(answer) + 100))
            handler.end_headers()
            handler.wfile.write(answer)
            return self.reset(handler)
        self.answer(handler, status, answer)

    @staticmethod
    def without_first(body):
        whole = json.loads(body)
        whole["Entries"] = whole["Entries"][1:]
        return json.dumps(whole).encode()

    def pass_on(self, handler, body):
        if json.loads(body).get("Entries") == []:
            return 200, b"{}"
        connection = http.client.HTTPConnection(self.target.hostname, self.target.port, timeout=60)
        names = ("content-type", "x-amz-target", "x-amz-date", "authorization")
        connection.request("POST", "/", body, {name: handler.headers[name] for name in names if handler.headers.get(name)})
        reply = connection.getresponse()
        answer = reply.read()
        connection.close()
        return reply.status, answer

    @staticmethod
    def answer(handler, status, body):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/x-amz-json-1.0")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def reset(handler):
        handler.close_connection = True
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
