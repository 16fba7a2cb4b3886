"""moto's server, in which policies count as they do at AWS where moto by itself does otherwise: a policy's resources for DynamoDB and
GetQueueUrl, too (moto looks at queues' URLs only), and actions by IAM's names."""
import json
import sys

from moto.dynamodb.responses import DynamoHandler
from moto.iam.access_control import IAMRequestBase
from moto.server import main
from moto.sqs.responses import SQSResponse

REGION, ACCOUNT = "us-east-1", "123456789012"


def table_of(self):
    """The resource of a request; those that name several tables are each for the first."""
    body = self.body if isinstance(self.body, dict) else json.loads(self.body)
    names = [body.get("TableName"), *body.get("RequestItems", {}),
             *(operation.get("TableName") for item in body.get("TransactItems", []) for operation in item.values())]
    table = next((name for name in names if name), "*")
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"
    return f"{arn}/index/{body['IndexName']}" if "IndexName" in body else arn


of_url = SQSResponse._determine_resource


def queue_of(self):
    return of_url(self) if self._get_param("QueueUrl") else f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self._get_param('QueueName') or '*'}"


init = IAMRequestBase.__init__


def init_with_names_of_iam(self, *arguments, **more):
    """What signatures call CloudWatch, and calls of several at once, have no names of their own in policies."""
    init(self, *arguments, **more)
    service, action = self._action.split(":", 1)
    self._action = f"{'cloudwatch' if service == 'monitoring' else service}:{action.removesuffix('Batch')}"


IAMRequestBase.__init__ = init_with_names_of_iam
DynamoHandler._determine_resource = table_of
SQSResponse._determine_resource = queue_of
sys.exit(main(sys.argv[1:]))
