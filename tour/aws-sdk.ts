/** Stands in for the aws command line where a machine has none: `list`, `put FILE BUCKET KEY`, `get BUCKET KEY FILE`. */
import { createReadStream, createWriteStream, statSync } from 'node:fs'
import { Agent } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { GetObjectCommand, ListBucketsCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'

const client = new S3Client({
  region: process.env.AWS_REGION ?? 'us-east-1',
  requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ proxyEnv: process.env }) }),
})
const [action, first = '', second = '', third = ''] = process.argv.slice(2)
try {
  if (action === 'list') {
    const { Buckets = [] } = await client.send(new ListBucketsCommand({}))
    for (const { Name, CreationDate } of Buckets) console.log(`${CreationDate?.toISOString() ?? ''} ${Name}`)
  } else if (action === 'put') {
    const ContentLength = statSync(first).size
    await client.send(
      new PutObjectCommand({ Bucket: second, Key: third, Body: createReadStream(first), ContentLength }),
    )
    console.log(`upload: ${first} to s3://${second}/${third}`)
  } else if (action === 'get') {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: first, Key: second }))
    if (Body instanceof Readable) await pipeline(Body, createWriteStream(third))
    console.log(`download: s3://${first}/${second} to ${third}`)
  } else throw new Error(`unknown action ${action}`)
} catch (error) {
  console.error(String(error))
  process.exitCode = 1
}
