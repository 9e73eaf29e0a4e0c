/** What the AWS benchmarks stand on: a cluster of real processes, a user with local proxies, a bare AWS and a client. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, type Person, startCluster } from '#tour/cluster.ts'
import type { AwsWay } from './aws-connection.ts'
import type { LoadOrder } from './aws-load.ts'
import { type Part, startPart } from './part.ts'
import type { Processes } from './process-use.ts'

/** An app with an agent and a local proxy of its own. */
export interface BedApp {
  readonly name: string
  /** Options of Node for the agent's process. */
  readonly agentNodeOptions?: string
}

export interface AwsBed extends AsyncDisposable {
  /** Through the local proxy of each app. */
  readonly ways: readonly AwsWay[]
  /** The same client without us. */
  readonly straight: AwsWay
  /** The first app's; `client` is the load generator. */
  readonly processes: Processes
  order<Result>(order: LoadOrder): Promise<Result>
}

/** What a call passes that is ours. */
export const ourParts = ['local proxy', 'proxy', 'agent', 'auth'] as const

const role = `kind: role
version: v7
metadata:
  name: bench
spec:
  allow:
    app_labels:
      '*': '*'
    aws_role_arns:
      - arn:aws:iam::123456789012:role/Bench
`

export async function openAwsBed(apps: readonly BedApp[]): Promise<AwsBed> {
  await using stack = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'bench-aws-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  const emulator = stack.use(startPart('aws-emulator.ts'))
  const { url, caPem } = await emulator.read<{ url: string; caPem: string }>()
  const caFile = join(dir, 'emulator-ca.pem')
  await writeFile(caFile, caPem)
  const { NODE_OPTIONS: nodeOptions } = process.env // such as --cpu-prof
  const env = {
    HTTPS_PROXY: url,
    NO_PROXY: '127.0.0.1,localhost',
    NODE_EXTRA_CA_CERTS: caFile,
    ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
  }
  const cluster = stack.use(await startCluster({ dir: join(dir, 'cluster'), split: true, env }))
  const person = await inviteUser(cluster)
  const ways: AwsWay[] = []
  const pids: { agent: number; localProxy: number }[] = []
  for (const app of apps) {
    const agent = await cluster.startAgent({
      name: `agent-${app.name}`,
      appLines: ['apps:', `- name: ${app.name}`, '  uri: https://console.aws.amazon.com/ec2/v2/home'],
      env: {
        ...env,
        AWS_ACCESS_KEY_ID: 'AKIABENCHBENCHBENCH0',
        AWS_SECRET_ACCESS_KEY: 'bench',
        AWS_REGION: 'us-east-1',
        AWS_EC2_METADATA_DISABLED: 'true',
        ...(app.agentNodeOptions === undefined ? {} : { NODE_OPTIONS: `${nodeOptions ?? ''} ${app.agentNodeOptions}` }),
      },
    })
    const proxy = await startLocalProxy(person, app.name)
    stack.use(proxy.running)
    ways.push(proxy.way)
    pids.push({ agent: agent.pid(), localProxy: proxy.running.pid })
  }
  const client: Part = stack.use(startPart('aws-load.ts'))
  await client.read()
  const running = stack.move()
  return {
    ways,
    straight: { proxyUrl: url, caPem, accessKeyId: 'AKIABENCHBENCHBENCH0', secretAccessKey: 'bench' },
    processes: {
      client: client.pid,
      'local proxy': pids[0]?.localProxy ?? -1,
      proxy: cluster.processes.proxy?.pid() ?? -1,
      agent: pids[0]?.agent ?? -1,
      auth: cluster.processes.auth.pid(),
      emulator: emulator.pid,
    },
    async order<Result>(order: LoadOrder) {
      client.write(order)
      return client.read<Result>()
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function inviteUser(cluster: Cluster): Promise<Person> {
  await writeFile(join(cluster.admin.home, 'bench.yaml'), role)
  await cluster.admin.run('tctl create -f bench.yaml')
  const person = await cluster.addUser('alice', ['access', 'bench'])
  await person.login()
  return person
}

async function startLocalProxy(
  { shell }: Person,
  app: string,
): Promise<{ running: ReturnType<typeof shell.start>; way: AwsWay }> {
  await shell.run(`tsh apps login --aws-role Bench ${app}`)
  const running = shell.start(`tsh proxy aws --app ${app}`)
  const [text] = await running.waitFor(/AWS_ACCESS_KEY_ID[\s\S]*HTTPS_PROXY="?http[^\n]*\n/)
  const value = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(text)?.[1] ?? ''
  return {
    running,
    way: {
      proxyUrl: value('HTTPS_PROXY'),
      caPem: await readFile(value('AWS_CA_BUNDLE'), 'utf8'),
      accessKeyId: value('AWS_ACCESS_KEY_ID'),
      secretAccessKey: value('AWS_SECRET_ACCESS_KEY'),
    },
  }
}
