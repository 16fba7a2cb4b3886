"""A stand-in for AWS in tests: S3 in memory, and DynamoDB passed on to an emulator, with faults on demand.

    stub.py DYNAMODB_URL PORT_FILE

Every request must carry a signature that botocore makes, too. Requests with X-Amz-Target go to DYNAMODB_URL; others
are S3's, buckets in the path, which need not be made. Faults are set with POST /-/faults, a list of objects, each for
the next request whose operation ("PutItem", "GET", ...) matches:

    {"operation": "PutItem", "fault": "lost", "count": 1}

    throttled       400 ProvisionedThroughputExceededException, nothing done
    trouble         500 InternalServerError, nothing done
    reset           the connection is reset, nothing done
    lost            done, then the connection is reset instead of an answer
    half            done, then half of the answer
    late            done, and answered after "seconds"
    expired         400 ExpiredTokenException, nothing done
    denied          403 AccessDenied, nothing done
    skewed          403 InvalidSignatureException with a Date 2 hours ahead, until the request has that date
    unprocessed     BatchGetItem: all keys but the first are left unprocessed
    corrupt         S3 GET: one byte is another

GET /-/log answers what was asked: a list of [operation, fault or null].
"""
import datetime
import hashlib
import http.server
import json
import os
import socket
import struct
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials

KEY, SECRET = "AKIDTESTS", "a secret of the tests"
DYNAMODB, OBJECTS, FAULTS, LOG, LOCK = "", {}, [], [], threading.Lock()


def signature_of(method, url, headers, body, service, region, date):
    """What botocore signs the same request with."""
    request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=headers, data=body)
    request.context["timestamp"] = date
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    auth = kind(botocore.credentials.Credentials(KEY, SECRET), service, region)
    canonical = auth.canonical_request(request)
    return auth.signature(auth.string_to_sign(request, canonical), request)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code, message=""):
        if self.headers.get("X-Amz-Target"):
            self.answer(status, json.dumps({"__type": "com.amazonaws.dynamodb.v20120810#" + code,
                                            "message": message}).encode())
        else:
            self.answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())

    def drop(self, text=b""):
        if text:
            self.wfile.write(text)
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def is_signed(self, body):
        """The signature is the one that botocore makes over the headers that are named."""
        header = self.headers.get("Authorization", "")
        if not header.startswith("AWS4-HMAC-SHA256 "):
            return False
        parts = dict(part.strip().split("=", 1) for part in header[len("AWS4-HMAC-SHA256 "):].split(","))
        _, _, region, service, _ = parts["Credential"].split("/")
        names = parts["SignedHeaders"].split(";")
        headers = {name: self.headers[name] for name in names}
        url = f"http://{self.headers['Host']}{self.path}"
        expected = signature_of(self.command, url, headers, body, service, region, self.headers["X-Amz-Date"])
        digest = self.headers.get("X-Amz-Content-Sha256", hashlib.sha256(body).hexdigest())
        return expected == parts["Signature"] and digest == hashlib.sha256(body).hexdigest()

    def s3(self, body, fault):
        name = urllib.parse.unquote(self.path)
        if self.command == "PUT":
            OBJECTS[name] = body
            return 200, b"", [("ETag", '"x"')]
        if self.command == "DELETE":
            OBJECTS.pop(name, None)
            return 204, b"", []
        if name not in OBJECTS:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", []
        found = OBJECTS[name]
        if fault == "corrupt":
            found = bytes([found[0] ^ 1]) + found[1:]
        return 200, found, []

    def dynamodb(self, body, fault):
        left = {}
        if fault == "unprocessed":
            wanted = json.loads(body)
            for table, request in wanted["RequestItems"].items():
                left[table] = dict(request, Keys=request["Keys"][1:])
                request["Keys"] = request["Keys"][:1]
            body = json.dumps(wanted).encode()
        headers = {name: self.headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")}
        request = urllib.request.Request(DYNAMODB + "/", body, headers)
        try:
            with urllib.request.urlopen(request) as reply:
                status, answer = reply.status, reply.read()
                kept = [("x-amz-crc32", reply.headers["x-amz-crc32"])] if reply.headers["x-amz-crc32"] else []
        except urllib.error.HTTPError as error:
            status, answer, kept = error.code, error.read(), []
        if left and left[next(iter(left))]["Keys"]:
            answer, kept = json.dumps(dict(json.loads(answer), UnprocessedKeys=left)).encode(), []
        return status, answer, kept

    def take_fault(self, operation):
        with LOCK:
            for fault in FAULTS:
                if fault["operation"] == operation and fault.get("count", 1) > 0:
                    fault["count"] = fault.get("count", 1) - 1
                    LOG.append([operation, fault["fault"]])
                    return fault
            LOG.append([operation, None])
        return {"fault": None}

    def refuse(self, fault):
        """Faults that come before anything is done; true if that was the answer."""
        kind = fault["fault"]
        if kind == "throttled":
            self.fail(400, "ProvisionedThroughputExceededException", "Slower.")
        elif kind == "trouble":
            self.fail(500, "InternalServerError")
        elif kind == "expired":
            self.fail(400, "ExpiredTokenException")
        elif kind == "denied":
            self.fail(403, "AccessDenied")
        elif kind == "reset":
            self.drop()
        elif kind == "skewed":
            ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)
            if self.headers["X-Amz-Date"] >= (ahead - datetime.timedelta(minutes=5)).strftime("%Y%m%dT%H%M%SZ"):
                return False
            self.date_time_string = lambda timestamp=None: ahead.strftime("%a, %d %b %Y %H:%M:%S GMT")
            self.fail(403, "InvalidSignatureException", "Signature expired: ...")
        else:
            return False
        return True

    def control(self, body):
        with LOCK:
            if self.path == "/-/faults":
                FAULTS[:] = json.loads(body)
                LOG.clear()
                self.answer(200)
            elif self.path == "/-/objects":
                self.answer(200, json.dumps(sorted(OBJECTS)).encode())
            else:
                self.answer(200, json.dumps(LOG).encode())

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/-/"):
            return self.control(body)
        target = self.headers.get("X-Amz-Target")
        operation = target.split(".")[1] if target else self.command
        if not self.is_signed(body):
            return self.fail(403, "SignatureDoesNotMatch", "The stub calculates another one.")
        fault = self.take_fault(operation)
        if self.refuse(fault):
            return None
        status, answer, headers = (self.dynamodb if target else self.s3)(body, fault["fault"])
        if fault["fault"] == "lost":
            return self.drop()
        if fault["fault"] == "half":
            head = f"HTTP/1.1 {status} OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
            return self.drop(head + answer[:len(answer) // 2])
        if fault["fault"] == "late":
            threading.Event().wait(fault["seconds"])
        return self.answer(status, answer, headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_request


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    global DYNAMODB
    DYNAMODB = sys.argv[1]
    server = Server(("127.0.0.1", 0), Handler)
    with open(sys.argv[2] + ".part", "w", encoding="ascii") as file:
        file.write(str(server.server_port))
    os.rename(sys.argv[2] + ".part", sys.argv[2])
    server.serve_forever()


if __name__ == "__main__":
    main()
