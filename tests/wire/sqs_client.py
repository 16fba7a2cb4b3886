"""A small client of the SQS protocol for tests that start thousands of calls while servers die: boto3 would retry,
and what was acknowledged would be anybody's guess.

    client = SqsClient(port)
    client.call("CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true"})
"""
import http.client
import json


class Refused(Exception):
    """The server said no: the operation did not happen."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class Unknown(Exception):
    """No answer came: the operation happened or not."""


class SqsClient:
    """One connection, opened when needed. One thread."""

    def __init__(self, port, timeout_s=30, host="127.0.0.1"):
        self.host, self.port = host, port
        self.timeout_s = timeout_s
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def call(self, operation, **parameters):
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
            self.connection.request("POST", "/", json.dumps(parameters), headers)
            reply = self.connection.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise Unknown(str(problem)) from problem
        if reply.status != 200:
            raise Refused(reply.status, body)
        return json.loads(body) if body else {}

    @staticmethod
    def url(queue):
        return f"http://127.0.0.1/000000000000/{queue}"
