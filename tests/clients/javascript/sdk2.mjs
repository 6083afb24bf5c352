// OPERATION, KEY and what else there is to it, for the SDK of version 2.
import AWS from "aws-sdk";

const [operation, bucket, key, range] = process.argv.slice(2);
const client = new AWS.S3({
  endpoint: process.env.AWS_ENDPOINT_URL_S3,
  s3ForcePathStyle: process.env.STYLE === "path",
  signatureVersion: "v4",
});
const asked = { Bucket: bucket, Key: key };

if (operation === "keys") {
  const found = {};
  let token;
  do {
    const page = await client.listObjectsV2({ Bucket: bucket, Prefix: key, ContinuationToken: token }).promise();
    for (const each of page.Contents) found[each.Key] = each.Size;
    token = page.NextContinuationToken;
  } while (token);
  process.stdout.write(JSON.stringify(found));
} else if (operation === "get") {
  const answer = await client.getObject({ ...asked, Range: range }).promise();
  process.stdout.write(answer.Body);
} else if (operation === "size") {
  const answer = await client.headObject(asked).promise();
  process.stdout.write(String(answer.ContentLength));
} else {
  process.stdout.write(client.getSignedUrl("getObject", { ...asked, Expires: 60 }));
}
