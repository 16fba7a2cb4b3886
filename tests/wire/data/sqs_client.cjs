// Drives a server with @aws-sdk/client-sqs as a backend would: node sqs_client.cjs http://127.0.0.1:PORT
// Prints one JSON object of what it saw; ends with 1 if a call failed that should not.
const {
  SQSClient, CreateQueueCommand, GetQueueUrlCommand, GetQueueAttributesCommand, ListQueuesCommand, SendMessageCommand,
  SendMessageBatchCommand, ReceiveMessageCommand, DeleteMessageCommand, DeleteMessageBatchCommand,
  ChangeMessageVisibilityCommand, QueueDoesNotExist,
} = require("@aws-sdk/client-sqs");

async function main(endpoint) {
  const client = new SQSClient({
    endpoint, region: "eu-west-3", credentials: { accessKeyId: process.env.KEY, secretAccessKey: process.env.SECRET },
    maxAttempts: 1,
  });
  const call = (Command, input) => client.send(new Command(input));
  const seen = {};
  const { QueueUrl } = await call(CreateQueueCommand, {
    QueueName: "script.fifo", Attributes: { FifoQueue: "true", ContentBasedDeduplication: "true" },
  });
  seen.url = (await call(GetQueueUrlCommand, { QueueName: "script.fifo" })).QueueUrl === QueueUrl;
  // The client compares the digests by itself, and throws if they differ.
  await call(SendMessageCommand, {
    QueueUrl, MessageBody: "ä 😀", MessageGroupId: "g",
    MessageAttributes: { a: { DataType: "String", StringValue: "v" }, b: { DataType: "Binary", BinaryValue: new Uint8Array([0, 255]) } },
  });
  const batch = await call(SendMessageBatchCommand, {
    QueueUrl, Entries: [{ Id: "1", MessageBody: "one", MessageGroupId: "g" }, { Id: "2", MessageBody: "\u0001", MessageGroupId: "g" }],
  });
  seen.batch = [batch.Successful.length, batch.Failed[0].Code];
  const { Messages } = await call(ReceiveMessageCommand, {
    QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"],
  });
  seen.bodies = Messages.map((message) => message.Body);
  seen.binary = Array.from(Messages[0].MessageAttributes.b.BinaryValue);
  seen.group = Messages[0].Attributes.MessageGroupId;
  await call(ChangeMessageVisibilityCommand, { QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle, VisibilityTimeout: 60 });
  await call(DeleteMessageCommand, { QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle });
  await call(DeleteMessageBatchCommand, { QueueUrl, Entries: [{ Id: "x", ReceiptHandle: Messages[1].ReceiptHandle }] });
  seen.left = (await call(GetQueueAttributesCommand, { QueueUrl, AttributeNames: ["All"] })).Attributes.ApproximateNumberOfMessages;
  seen.listed = (await call(ListQueuesCommand, {})).QueueUrls.includes(QueueUrl);
  try {
    await call(GetQueueUrlCommand, { QueueName: "nothing" });
  } catch (error) {
    seen.failure = [error instanceof QueueDoesNotExist, error.name];
  }
  console.log(JSON.stringify(seen));
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
