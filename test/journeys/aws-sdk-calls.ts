/**
 * What a program with the SDK for JavaScript does, for the journeys: `identity`, `put FILE KEY`, `get KEY FILE`,
 * `roles` in pages of one, `deny`, `checksum ALGORITHM KEY`, each with the bucket `reports`.
 */
import { createReadStream, createWriteStream, statSync } from 'node:fs'
import { Agent } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CreateUserCommand, IAMClient, paginateListRoles } from '@aws-sdk/client-iam'
import { ChecksumAlgorithm, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { NodeHttpHandler } from '@smithy/node-http-handler'

// The one setting that this SDK wants in code: the proxy.
const requestHandler = new NodeHttpHandler({ httpsAgent: new Agent({ keepAlive: true, proxyEnv: process.env }) })
const config = { region: process.env.AWS_REGION ?? 'us-east-1', requestHandler }
const s3 = new S3Client(config)
const Bucket = 'reports'
const [action, first = '', second = ''] = process.argv.slice(2)

const actions: Readonly<Record<string, () => Promise<unknown>>> = {
  identity: async () => (await new STSClient(config).send(new GetCallerIdentityCommand({}))).Arn,
  put: async () => {
    const Body = createReadStream(first)
    await s3.send(new PutObjectCommand({ Bucket, Key: second, Body, ContentLength: statSync(first).size }))
    return 'done'
  },
  get: async () => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: first }))
    if (!(Body instanceof Readable)) throw new Error('no body')
    await pipeline(Body, createWriteStream(second))
    return 'done'
  },
  roles: async () => {
    const names: (string | undefined)[] = []
    for await (const { Roles = [] } of paginateListRoles({ client: new IAMClient(config), pageSize: 1 }, {})) {
      names.push(...Roles.map(({ RoleName }) => RoleName))
    }
    return names.join(' ')
  },
  deny: async () => await new IAMClient(config).send(new CreateUserCommand({ UserName: 'eve' })),
  checksum: async () => {
    const algorithm = Object.values(ChecksumAlgorithm).find((known) => known === first)
    if (algorithm === undefined) throw new Error(`no algorithm ${first}`)
    const Body = Readable.from(['a'.repeat(8192), 'b'].map((text) => Buffer.from(text))) // S3 takes no small chunk before the last
    const put = await s3.send(
      new PutObjectCommand({ Bucket, Key: second, Body, ContentLength: 8193, ChecksumAlgorithm: algorithm }),
    )
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: second, ChecksumMode: 'ENABLED' }))
    const text = await got.Body?.transformToString() // throws where the checksum is not that of the bytes
    const sums = [put, got].map((answer) => Object.entries(answer).find(([name]) => name === `Checksum${first}`)?.[1])
    return [text?.length, ...sums].join(' ')
  },
}

try {
  const act = actions[action ?? '']
  if (act === undefined) throw new Error(`unknown action ${action}`)
  console.log(await act())
} catch (error) {
  console.error(error instanceof Error ? `${error.name}: ${error.message}` : error)
  process.exitCode = 1
}
