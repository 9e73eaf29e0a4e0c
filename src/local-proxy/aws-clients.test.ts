/** Stock AWS clients against the local proxy: what they sign with the placeholders has to be what we compute. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type http from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { suite, type TestContext, test } from 'node:test'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { decodeOperation } from '#aws/operation.ts'
import { headerValues } from '#aws/sigv4.ts'
import { parseAuthorization, parsePresigned } from '#aws/sigv4-authorization.ts'
import { requireTool } from '#test/tools.ts'
import { childEnvironment } from './aws-environment.ts'
import { type Seen, setUp } from './aws-proxy-site.ts'

const identity =
  '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/Reader/alice</Arn><UserId>AROA:alice</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>'
const listing =
  '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>reports</Name><IsTruncated>false</IsTruncated><Contents><Key>a.txt</Key><Size>1</Size><LastModified>2030-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>'

/** Says enough for each client to be content. */
const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
  const host = request.headers['x-forwarded-host'] ?? ''
  if (host.toString().startsWith('sts.')) response.writeHead(200, { 'content-type': 'text/xml' }).end(identity)
  else if (host.toString().startsWith('dynamodb.'))
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end('{"TableNames":["t"]}')
  else if (host.toString().startsWith('lambda.'))
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"FunctionName":"f"}')
  else if (request.method === 'GET') response.writeHead(200, { 'content-type': 'application/xml' }).end(listing)
  else response.writeHead(200, { etag: '"0"' }).end()
}

async function operationOf({ method, url, headers, body }: Seen): Promise<string> {
  const [path = '', query = ''] = url.split('?')
  const { scope } = parsePresigned(query) ?? parseAuthorization(headerValues(headers, 'authorization')[0] ?? '')
  const [host = ''] = headerValues(headers, 'x-forwarded-host')
  const { service, operation } = await decodeOperation({
    ...scope,
    host,
    method,
    path,
    query,
    headers,
    body: Buffer.from(body),
  })
  return `${service}:${operation}`
}

const KEY = "a b/(1)+=é'~*&$@,.txt"

suite('a stock client', () => {
  const run = async (
    context: TestContext,
    program: string,
    args: readonly string[],
  ): Promise<{ out: string; seen: readonly Seen[] } | undefined> => {
    const path = requireTool(context, program)
    if (path === undefined) return undefined
    await using site = await setUp({ answer })
    const { proxy } = site
    const { env } = childEnvironment(
      {
        ...process.env,
        AWS_REGION: 'us-east-1',
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_CONFIG_FILE: '/nonexistent',
        AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
        AWS_PAGER: '',
        AWS_MAX_ATTEMPTS: '1',
        AWS_PROFILE: 'other',
      },
      { url: proxy.url, caFile: proxy.caFile, credentials: proxy.credentialsOf('awsconsole') },
    )
    const child = spawn(path, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, problems, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<[number | null]>((resolve) => child.once('close', (code) => resolve([code]))),
    ])
    assert.equal(code, 0, `${problems}\n${JSON.stringify(site.notices)}`)
    return { out, seen: [...site.seen] }
  }
  const python = (code: string): readonly string[] => ['-c', `import boto3\n${code}`]

  for (const [program, args, operation, shown] of [
    ['aws-v1', ['sts', 'get-caller-identity'], 'sts:GetCallerIdentity', /assumed-role\/Reader\/alice/],
    ['aws-v2', ['sts', 'get-caller-identity'], 'sts:GetCallerIdentity', /assumed-role\/Reader\/alice/],
    ['aws-v2', ['s3', 'ls', 's3://reports/some folder/'], 's3:ListObjectsV2', /a\.txt/],
    ['aws-v2', ['dynamodb', 'list-tables'], 'dynamodb:ListTables', /"t"/],
    [
      'aws-v1',
      ['lambda', 'get-function-configuration', '--function-name', 'arn:aws:lambda:us-east-1:123456789012:function:f'],
      'lambda:GetFunctionConfiguration',
      /"f"/,
    ],
    [
      'aws-v1',
      ['s3api', 'put-object', '--bucket', 'dotted.bucket', '--key', KEY, '--body', 'FILE'],
      's3:PutObject',
      /ETag/,
    ],
    ['aws-v2', ['s3', 'cp', 'FILE', `s3://reports/${KEY}`], 's3:PutObject', /upload/],
    [
      'python-boto3',
      python(
        `boto3.client('s3').put_object(Bucket='reports', Key=${JSON.stringify(KEY)}, Body=b'x' * 100000, Metadata={'a': 'b  c'})`,
      ),
      's3:PutObject',
      /^$/,
    ],
    [
      'python-boto3',
      python(
        `from botocore.config import Config\nboto3.client('s3', config=Config(s3={'payload_signing_enabled': True, 'addressing_style': 'path'})).put_object(Bucket='reports', Key='k', Body=b'x')`,
      ),
      's3:PutObject',
      /^$/,
    ],
    [
      'python-boto3',
      python(
        `import urllib.request; from botocore.config import Config\nurl = boto3.client('s3', config=Config(signature_version='s3v4')).generate_presigned_url('get_object', Params={'Bucket': 'reports', 'Key': ${JSON.stringify(KEY)}})\nprint(urllib.request.urlopen(url).read())`,
      ),
      's3:GetObject',
      /a\.txt/,
    ],
    [
      'python-boto3',
      python(
        `import urllib.request\nurl = boto3.client('sts', region_name='us-east-1').generate_presigned_url('get_caller_identity', HttpMethod='GET')\nprint(urllib.request.urlopen(url).read())`,
      ),
      'sts:GetCallerIdentity',
      /alice/,
    ],
  ] as const) {
    test(`${program} ${args.join(' ').replaceAll('\n', '; ').slice(0, 60)} is ${operation}`, async (context) => {
      const directory = await mkdtemp(join(tmpdir(), 'aws-client-'))
      try {
        const file = join(directory, 'content')
        await writeFile(file, 'x'.repeat(100_000))
        const result = await run(
          context,
          program,
          args.map((word) => (word === 'FILE' ? file : word)),
        )
        if (result === undefined) return
        assert.match(result.out, shown)
        assert.deepEqual(await Promise.all(result.seen.map(operationOf)), [operation])
      } finally {
        await rm(directory, { recursive: true })
      }
    })
  }

  test('the SDK for JavaScript, through its own agent', async () => {
    await using site = await setUp({ answer })
    const { accessKeyId, secretAccessKey } = site.proxy.credentialsOf('awsconsole')
    const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: site.proxy.url }, ca: site.ca })
    const options = {
      region: 'us-east-1',
      credentials: { accessKeyId, secretAccessKey: secretAccessKey.reveal() },
      requestHandler: { httpsAgent: agent },
    }
    const [sts, s3] = [new STSClient(options), new S3Client(options)]
    assert.match((await sts.send(new GetCallerIdentityCommand({}))).Arn ?? '', /alice/)
    await s3.send(new PutObjectCommand({ Bucket: 'reports', Key: KEY, Body: 'content' }))
    await s3.send(
      new PutObjectCommand({ Bucket: 'reports', Key: 'b', Body: Buffer.alloc(100_000), ChecksumAlgorithm: 'SHA256' }),
    )
    const operations = await Promise.all(site.seen.map(operationOf))
    assert.deepEqual(operations, ['sts:GetCallerIdentity', 's3:PutObject', 's3:PutObject'])
    assert.deepEqual(site.notices, [])
    for (const client of [sts, s3]) client.destroy()
    agent.destroy()
  })
})
