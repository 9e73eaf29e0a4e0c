/** The stage of the journeys about faults: a small AWS, Auth, Proxy and agents in processes of their own, and a person whose SDK goes through them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { AuditEvent } from '#audit/event.ts'
import { type AwsLab, startAwsLab } from '#lab/aws/cloud.ts'
import type { Running } from '#test/shell.ts'
import { type Cluster, type ClusterOptions, type Person, type Service, startCluster } from '#tour/cluster.ts'

export interface Stage extends AsyncDisposable {
  readonly lab: AwsLab
  readonly cluster: Cluster
  readonly alice: Person
  /** Starts an agent that serves the app `awsconsole`; `lines` go below `app_service`. */
  startAgent(name: string, lines?: readonly string[]): Promise<Service>
  /** A client whose calls go through `tsh proxy aws`, without retries unless `maxAttempts` says so. */
  openClient(options?: { readonly maxAttempts?: number }): Promise<Client>
  /** Events of calls from the audit log, the oldest first. */
  calls(): Promise<readonly AuditEvent[]>
  /** The same, as soon as they fit. */
  callsThat(fit: (calls: readonly AuditEvent[]) => boolean, timeoutMs?: number): Promise<readonly AuditEvent[]>
}

export interface Client extends AsyncDisposable {
  readonly s3: S3Client
  readonly proxy: Running
}

export const bucket = 'reports'

const role = `kind: role
version: v7
metadata:
  name: aws-access
spec:
  allow:
    app_labels:
      '*': '*'
    aws_role_arns:
      - arn:aws:iam::ACCOUNT:role/ExampleReadWriteAccess
`

export async function openStage(options: Pick<ClusterOptions, 'authLines'> = {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'faults-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const lab = stack.use(await startAwsLab({ buckets: [bucket] }))
  lab.account().createRole({
    name: 'ExampleReadWriteAccess',
    trust: {
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Principal: { AWS: lab.account().role('TeleportAWSAccess').arn }, Action: 'sts:AssumeRole' },
      ],
    },
    attach: ['AmazonS3FullAccess'],
  })
  const cluster = stack.use(await startCluster({ dir, split: true, ...options }))
  writeFileSync(join(cluster.admin.home, 'role.yaml'), role.replaceAll('ACCOUNT', lab.accountId))
  await cluster.admin.run('tctl create -f role.yaml')
  const alice = await cluster.addUser('alice', ['access', 'aws-access'])
  await alice.login()
  const owned = stack.move()

  const calls = async (): Promise<readonly AuditEvent[]> => {
    const { stdout } = await cluster.admin.run(
      'tctl audit ls --last 1h --type app.session.request --limit 100000 --format json',
    )
    return (JSON.parse(stdout) as AuditEvent[]).reverse() // of our own command
  }
  return {
    lab,
    cluster,
    alice,
    calls,
    startAgent: (name, lines = []) =>
      cluster.startAgent({
        name,
        env: lab.environment('instance'),
        teleportLines: ['shutdown_grace: 3s'],
        appLines: [...lines, 'apps:', '- name: awsconsole', '  uri: https://console.aws.amazon.com/ec2/v2/home'],
      }),
    async openClient({ maxAttempts = 1 } = {}) {
      await alice.shell.run('tsh apps login --quiet --aws-role ExampleReadWriteAccess awsconsole')
      const proxy = owned.use(alice.shell.start('tsh proxy aws --app awsconsole'))
      await proxy.waitFor(/export HTTPS_PROXY=\S+/)
      const env = Object.fromEntries(
        [...proxy.output().matchAll(/export (\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
      )
      return { proxy, s3: clientOf(env, maxAttempts), [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() }
    },
    callsThat: (fit, timeoutMs = 20_000) => eventually(calls, fit, timeoutMs),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function clientOf(env: Readonly<Record<string, string>>, maxAttempts: number): S3Client {
  const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } = env
  const httpsAgent = new Agent({
    proxyEnv: env,
    ca: readFileSync(env.AWS_CA_BUNDLE ?? ''),
    keepAlive: true,
    maxSockets: 64,
  })
  return new S3Client({
    region: 'us-east-1',
    credentials: { accessKeyId, secretAccessKey },
    requestHandler: new NodeHttpHandler({ httpsAgent }),
    maxAttempts,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
}

/** Asks again and again until the answer fits. @throws with the last answer when the time is up */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  fits: (answer: T) => boolean,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (fits(answer)) return answer
    if (Date.now() > deadline)
      throw new Error(`not within ${timeoutMs} ms; at last: ${JSON.stringify(answer).slice(-2000)}`)
    await sleep(50)
  }
}

/** Of these calls those for an object with this key. */
export function callsOf(calls: readonly AuditEvent[], key: string): readonly AuditEvent[] {
  return calls.filter(({ path }) => String(path) === `/${bucket}/${key}` || String(path) === `/${key}`)
}

/** A body that comes at a pace: 64 KiB every 20 ms, 3 MB a second. */
export function slowBody(totalBytes: number): Readable {
  const block = Buffer.alloc(64 * 1024, 'x')
  return Readable.from(
    (async function* () {
      for (let left = totalBytes; left > 0; left -= block.length) {
        yield block.subarray(0, Math.min(left, block.length))
        await sleep(20)
      }
    })(),
    { objectMode: false },
  )
}
