/** What the AWS journeys share: a lab with roles to assume, a cluster with an agent in it, and people who may use it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AwsLab, startAwsLab } from '#lab/aws/cloud.ts'
import type { Shell } from '#test/shell.ts'
import { type Cluster, type Person, type Service, startCluster } from '#tour/cluster.ts'

/** A cluster with one agent, `agent`, which reaches AWS as the role of an instance. */
export interface AwsStage extends AsyncDisposable {
  readonly lab: AwsLab
  readonly cluster: Cluster
  readonly agent: Service
  /** Invites and signs in a person who may use every app as `Reader` (may only read) and as `Writer` (may do all). */
  invite(name: string): Promise<Person>
}

export interface AwsStageOptions {
  /** Lines below `app_service` of the agent; the app `awsconsole` unless given. */
  readonly appLines?: readonly string[]
  /** Whether the agent looks ahead; no unless given, so that STS sees the calls of people alone. */
  readonly preflight?: boolean
  /** Further roles of AWS that the people may take, by ARN. */
  readonly roleArns?: readonly string[]
  /** Where the agent's credentials come from; the metadata service of an instance unless given. */
  readonly agentEnv?: (lab: AwsLab, dir: string) => Readonly<Record<string, string>>
}

export const consoleUri = 'https://console.aws.amazon.com/ec2/v2/home'

/** The agent's way in is the lab's proxy, and its authority is the lab's: as behind a company's own. */
export async function startAwsStage(options: AwsStageOptions = {}): Promise<AwsStage> {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'aws-journey-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const lab = stack.use(await startAwsLab({ buckets: ['reports'] }))
  for (const [name, policy] of [
    ['Reader', 'ReadOnlyAccess'],
    ['Writer', 'AdministratorAccess'],
  ] as const) {
    lab.account().createRole({ name, trust: trustOf(lab.account().role('TeleportAWSAccess').arn), attach: [policy] })
  }
  const cluster = stack.use(await startCluster({ dir }))
  const {
    appLines = ['apps:', '- name: awsconsole', `  uri: ${consoleUri}`],
    roleArns = [],
    preflight = false,
  } = options
  const env = options.agentEnv?.(lab, dir) ?? lab.environment('instance')
  const agent = await cluster.startAgent({
    name: 'agent',
    env,
    appLines: [...appLines, `preflight: ${preflight ? 'yes' : 'no'}`],
  })
  const arns = ['Reader', 'Writer'].map((name) => lab.account().role(name).arn)
  await createResource(cluster.admin, {
    kind: 'role',
    version: 'v7',
    metadata: { name: 'aws-access' },
    spec: { allow: { app_labels: { '*': '*' }, aws_role_arns: [...arns, ...roleArns] } },
  })
  const owned = stack.move()
  return {
    lab,
    cluster,
    agent,
    async invite(name) {
      const person = await cluster.addUser(name, ['access', 'aws-access'], workstation(lab))
      await person.login()
      return person
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** `tctl create` of one document. */
export async function createResource(admin: Shell, document: object): Promise<void> {
  writeFileSync(join(admin.home, 'resource.json'), JSON.stringify(document))
  await admin.run('tctl create -f resource.json')
}

/** A trust policy that names one principal. */
export function trustOf(arn: string, condition?: object): object {
  const statement = { Effect: 'Allow', Principal: { AWS: arn }, Action: 'sts:AssumeRole' }
  return {
    Version: '2012-10-17',
    Statement: [condition === undefined ? statement : { ...statement, Condition: condition }],
  }
}

/** Puts a client on a person's PATH under the name by which they call it. */
export function link({ home }: Shell, program: string, name: string): void {
  mkdirSync(join(home, 'bin'), { recursive: true })
  symlinkSync(program, join(home, 'bin', name))
}

/** Behind the same proxy as the agent, and with no AWS credentials of its own. */
function workstation(lab: AwsLab): Record<string, string> {
  const { AWS_CA_BUNDLE: _, ...way } = lab.environment('none')
  return way
}
