/** The lab as the stock AWS CLI sees it: nothing but environment variables, in a clean home. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { type AwsLab, startAwsLab } from './cloud.ts'
import type { LabIdentity } from './lab-environment.ts'

const isMissing = spawnSync('aws', ['--version']).status !== 0
if (isMissing && process.env.CI === 'true') throw new Error('the AWS CLI is not on the PATH')

suite('the AWS CLI', { skip: isMissing && 'the AWS CLI is not on the PATH', concurrency: 2 }, () => {
  let lab: AwsLab
  let home: string
  before(async () => {
    lab = await startAwsLab({ buckets: ['reports'] })
    home = await mkdtemp(join(tmpdir(), 'lab-home-'))
    await mkdir(join(home, '.aws'))
    // Version 1 of the CLI still presigns with version 2 of signatures in the oldest region.
    await writeFile(join(home, '.aws', 'config'), '[default]\ns3 =\n  signature_version = s3v4\n')
  })
  after(async () => {
    await lab[Symbol.asyncDispose]()
    await rm(home, { recursive: true })
  })
  const aws = async (
    line: string,
    { as, env = {} }: { as?: LabIdentity; env?: Record<string, string> } = {},
  ): Promise<string> => {
    const variables = { PATH: process.env.PATH ?? '', HOME: home, ...lab.environment(as), ...env }
    const { stdout } = await promisify(execFile)('aws', line.split(' '), { cwd: home, env: variables })
    return stdout
  }
  const fails = (line: string, stderr: RegExp, as?: LabIdentity): Promise<void> =>
    assert.rejects(aws(line, as === undefined ? {} : { as }), { stderr })

  test('copies a large file up in parts and down again', async () => {
    const content = Buffer.alloc(9 * 1024 * 1024, 'large file ')
    await writeFile(join(home, 'large'), content)
    await aws('s3 cp large s3://reports/large --no-progress')
    assert.match(await aws('s3 ls s3://reports/large'), /9437184 large/)
    await aws('s3 cp s3://reports/large again --no-progress')
    assert.ok(content.equals(await readFile(join(home, 'again'))))
    const operations = new Set(lab.seen.map(({ operation }) => operation))
    for (const operation of ['CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'])
      assert.ok(operations.has(operation))
  })

  test('presigns a URL that anybody may use, through the same way in', async () => {
    await lab.putObject('reports', 'shared.txt', 'for you')
    const url = (await aws('s3 presign s3://reports/shared.txt')).trim()
    const agent = new https.Agent({ proxyEnv: { HTTPS_PROXY: lab.egressUrl }, ca: lab.egress.caPem })
    const body = await new Promise<string>((resolve, reject) => {
      https
        .get(url, { agent }, async (response) => resolve(Buffer.concat(await response.toArray()).toString()))
        .on('error', reject)
    })
    agent.destroy()
    assert.equal(body, 'for you')
  })

  test('gets the role of an instance from its metadata service', async () => {
    assert.match(await aws('sts get-caller-identity', { as: 'instance' }), /assumed-role\/TeleportAWSAccess\/i-0/)
  })

  test('reads under a role that may read, and is refused in the words of each service where it may not', async () => {
    const as: LabIdentity = { role: 'ExampleReadOnlyAccess' }
    assert.match(await aws('s3 ls', { as }), /reports$/m)
    await fails('dynamodb delete-table --table-name orders', /AccessDeniedException.*dynamodb:DeleteTable/, as)
  })

  test('makes a role that can be assumed, and only by whom it trusts', async () => {
    const trust = {
      Effect: 'Allow',
      Principal: { AWS: 'arn:aws:iam::123456789012:user/lab-admin' },
      Action: 'sts:AssumeRole',
    }
    await writeFile(join(home, 'trust.json'), JSON.stringify({ Version: '2012-10-17', Statement: [trust] }))
    await aws('iam create-role --role-name Target --assume-role-policy-document file://trust.json')
    const assume = 'sts assume-role --role-arn arn:aws:iam::123456789012:role/Target --role-session-name alice'
    assert.match(await aws(assume), /assumed-role\/Target\/alice/)
    await fails(assume, /AccessDenied.*not authorized to perform: sts:AssumeRole on resource/, {
      role: 'ExampleReadOnlyAccess',
    })
  })

  test('speaks the JSON and REST protocols', async () => {
    await aws(
      'dynamodb create-table --table-name orders --key-schema AttributeName=id,KeyType=HASH --attribute-definitions AttributeName=id,AttributeType=S --billing-mode PAY_PER_REQUEST',
    )
    assert.match(await aws('dynamodb list-tables'), /"orders"/)
    const issuer = 'https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE'
    lab.addEksCluster({ name: 'demo', issuer, endpoint: 'https://demo.example.com', certificateAuthority: 'PEM' })
    assert.match(
      await aws('eks describe-cluster --name demo --query cluster.identity.oidc.issuer --output text'),
      /id\/EXAMPLE/,
    )
  })

  test('is told cleanly that a service is not there', async () => {
    await Promise.all([
      fails('sqs list-queues', /UnknownOperationException/),
      fails('sns list-topics', /InvalidAction/),
    ])
  })
})
