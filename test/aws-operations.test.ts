/** Every operation of every service that boto3 knows, as boto3 puts it on the wire, is named in the audit log. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { before, suite, test } from 'node:test'
import { decodeOperation } from '#aws/operation.ts'
import { headerValues } from '#aws/sigv4.ts'
import { parseAuthorization } from '#aws/sigv4-authorization.ts'
import { findTool } from '#test/tools.ts'

/** One line of `aws-operations.py`. */
interface Call {
  /** botocore's name of the service: `sesv2`. */
  readonly service: string
  readonly signing: string
  readonly operation: string
  readonly method: string
  readonly url: string
  readonly headers: readonly (readonly [string, string])[]
  /** Base 64. */
  readonly body: string
  /** Why boto3 would not make the call. */
  readonly error?: string
}

interface Outcome {
  readonly service: string
  readonly wanted: string
  readonly found: string
}

/** botocore's names of the services that are called most. */
const mostUsed: readonly string[] = `
  acm apigateway apigatewayv2 application-autoscaling athena autoscaling backup batch bedrock bedrock-runtime
  cloudformation cloudfront cloudtrail cloudwatch codebuild codepipeline cognito-idp config dynamodb dynamodbstreams
  ec2 ecr ecs efs eks elasticache elasticbeanstalk elb elbv2 emr events firehose glue guardduty iam kafka kinesis kms
  lambda logs opensearch organizations rds redshift resourcegroupstaggingapi route53 s3 s3control sagemaker
  secretsmanager securityhub servicediscovery sesv2 sns sqs ssm sso-admin stepfunctions sts wafv2`
  .trim()
  .split(/\s+/)

/** Where IAM's prefix is not the signing name. Written down here a second time, by the service authorization reference. */
const prefixes: Readonly<Record<string, string>> = {
  IoTSecuredTunneling: 'iot',
  cloudcontrolapi: 'cloudformation',
  'iot-jobs-data': 'iotjobsdata',
  iotdata: 'iot',
  monitoring: 'cloudwatch',
  'mturk-requester': 'mechanicalturk',
  s3express: 's3', // as other calls to S3 are named
  tagging: 'tag',
}

/** Actions of IAM that are not called as the operation is. */
const actions: Readonly<Record<string, string>> = {
  'bedrock:Converse': 'bedrock:InvokeModel',
  'bedrock:ConverseStream': 'bedrock:InvokeModelWithResponseStream',
  'lambda:Invoke': 'lambda:InvokeFunction',
}

const python = 'python-boto3'

const missing = `${python} is missing: run "npm run tools"`
const skip = findTool(python) === undefined && process.env.CI !== 'true' && missing

suite('operations of AWS', { skip }, () => {
  const outcomes: Outcome[] = []

  before(async () => {
    const program = findTool(python)
    assert.ok(program !== undefined, missing)
    const shares = [0, 1]
    const seen = await Promise.all(shares.map((share) => callsOf(program, share, shares.length)))
    outcomes.push(...seen.flat())
  })

  test('97 % of all are named as IAM names them', (context) => {
    const share = shareOf(outcomes)
    context.diagnostic(`${outcomes.length} operations, ${percent(share)} named`)
    for (const { service, wanted, found } of missed(outcomes)) context.diagnostic(`${service}: ${wanted} is ${found}`)
    assert.ok(outcomes.length > 10_000, 'all services were looked at')
    assert.ok(share >= 0.97, `${percent(share)}`)
  })

  test('99.5 % of those of the 60 services that are used most', (context) => {
    assert.equal(new Set(mostUsed).size, 60)
    const used = outcomes.filter(({ service }) => mostUsed.includes(service))
    assert.deepEqual(new Set(used.map(({ service }) => service)), new Set(mostUsed))
    const share = shareOf(used)
    context.diagnostic(`${used.length} operations, ${percent(share)} named`)
    assert.ok(share >= 0.995, `${percent(share)}`)
  })

  test('none is taken for another one, but for two pairs of which S3 has only the newer', () => {
    const wrong = missed(outcomes).filter(({ found }) => !found.endsWith(':unknown') && found !== 'not sent')
    assert.deepEqual(
      wrong.map(({ wanted, found }) => `${wanted} is ${found}`),
      ['Lifecycle', 'Notification']
        .flatMap((name) => [
          `s3:GetBucket${name} is s3:GetBucket${name}Configuration`,
          `s3:PutBucket${name} is s3:PutBucket${name}Configuration`,
        ])
        .toSorted(),
    )
  })
})

async function callsOf(program: string, share: number, shares: number): Promise<Outcome[]> {
  const script = new URL('aws-operations.py', import.meta.url).pathname
  const child = spawn(program, [script, String(share), String(shares)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  const outcomes: Outcome[] = []
  for await (const line of createInterface(child.stdout)) outcomes.push(await outcomeOf(JSON.parse(line) as Call)) // our own program's
  assert.equal(await ended, 0)
  return outcomes
}

async function outcomeOf(call: Call): Promise<Outcome> {
  const { service, signing, operation } = call
  const name = `${prefixes[signing] ?? signing}:${operation}`
  const wanted = actions[name] ?? name
  if (call.error !== undefined) return { service, wanted, found: 'not sent' }
  const { host, origin } = new URL(call.url)
  const [path = '', query = ''] = call.url.slice(origin.length).split('?')
  const headers = call.headers.flat()
  const [authorization = ''] = headerValues(headers, 'authorization')
  // What is not signed never comes this far; it is looked at as if it were.
  const scope = authorization.startsWith('AWS4') ? parseAuthorization(authorization).scope : { service: signing }
  const found = await decodeOperation({
    service: scope.service,
    region: 'us-east-1',
    host,
    method: call.method,
    path,
    query,
    headers,
    body: Buffer.from(call.body, 'base64'),
  })
  const prefix = prefixes[scope.service] ?? scope.service
  const isNamed = found.operation === wanted.slice(wanted.indexOf(':') + 1) && found.service === prefix
  return { service, wanted, found: isNamed ? wanted : `${found.service}:${found.operation}` }
}

const missed = (outcomes: readonly Outcome[]): Outcome[] =>
  outcomes
    .filter(({ wanted, found }) => wanted !== found)
    .toSorted((a, b) => (`${a.service} ${a.wanted}` < `${b.service} ${b.wanted}` ? -1 : 1))

const shareOf = (outcomes: readonly Outcome[]): number => 1 - missed(outcomes).length / outcomes.length

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`
