// OPERATION, KEY and what else there is to it, for the SDK of version 3, which addresses buckets as hosts.
import * as s3 from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const [operation, bucket, key, range] = process.argv.slice(2);
const client = new s3.S3Client({ endpoint: process.env.AWS_ENDPOINT_URL_S3, forcePathStyle: process.env.STYLE === "path" });
const asked = { Bucket: bucket, Key: key };

if (operation === "keys") {
  const found = {};
  for await (const page of s3.paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: key })) {
    for (const each of page.Contents) found[each.Key] = each.Size;
  }
  process.stdout.write(JSON.stringify(found));
} else if (operation === "get") {
  const answer = await client.send(new s3.GetObjectCommand({ ...asked, Range: range }));
  process.stdout.write(await answer.Body.transformToByteArray());
} else if (operation === "size") {
  const answer = await client.send(new s3.HeadObjectCommand(asked));
  process.stdout.write(String(answer.ContentLength));
} else {
  process.stdout.write(await getSignedUrl(client, new s3.GetObjectCommand(asked), { expiresIn: 60 }));
}
