/** A small strict AWS on loopback, started with one call. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '#clock.ts'
import { createLabAuthority } from '#lab/authority.ts'
import { type EgressRoute, type LabEgress, startEgress } from '#lab/egress.ts'
import { type Log, silentLog } from '#log.ts'
import type { Account, Partition } from './account.ts'
import { type ConsoleSession, consoleRoute } from './console.ts'
import { type AccessKey, AccessKeys } from './credentials.ts'
import { Directory } from './directory.ts'
import { dynamodb } from './dynamodb.ts'
import { ec2 } from './ec2.ts'
import { addInstance, createNetwork, type Ec2Instance, type Ec2Network } from './ec2-network.ts'
import { type EksCluster, eks } from './eks.ts'
import { findEndpoint } from './endpoint.ts'
import { type Fault, Faults } from './faults.ts'
import { openFrontDoor, type SeenRequest } from './front-door.ts'
import { iam } from './iam.ts'
import { type Instance, startInstance } from './imds.ts'
import { environmentFor, type LabIdentity } from './lab-environment.ts'
import { s3 } from './s3.ts'
import { type Bucket, S3Store } from './s3-store.ts'
import { secretsManager } from './secrets-manager.ts'
import { type ManagedSession, sessionManager } from './session-manager.ts'
import { type AssumedRole, sts } from './sts.ts'

/** How the lab begins. Everything has a default. */
export interface AwsLabOptions {
  /** `123456789012` when absent. */
  readonly accountId?: string
  /** `aws` when absent. */
  readonly partition?: Partition
  /** `us-east-1` when absent. */
  readonly region?: string
  /** Buckets to begin with, in that region. */
  readonly buckets?: readonly string[]
  /** Begins with nothing but the administrator: for what sets up its own roles. */
  readonly empty?: true
  readonly log?: Log
  /** Time of the cloud. Certificates of the lab always follow the machine's clock. */
  readonly clock?: Clock
  /** Further clouds behind the same proxy. */
  readonly routes?: readonly EgressRoute[]
}

/** The lab, running. Disposing stops all of it and removes its files. */
export interface AwsLab extends AsyncDisposable {
  readonly egress: LabEgress
  /** `http://127.0.0.1:PORT`, for `HTTPS_PROXY`. */
  readonly egressUrl: string
  /** PEM file with the lab's CA, for `AWS_CA_BUNDLE` and its kin. */
  readonly caFile: string
  readonly accountId: string
  readonly region: string
  /** Requests to AWS host names in the order of the answers: all, or the newest ten thousand at least. */
  readonly seen: readonly SeenRequest[]
  /** Every role that was assumed through STS. */
  readonly assumed: readonly AssumedRole[]
  /** Every session that was started through Systems Manager or ECS. */
  readonly managedSessions: readonly ManagedSession[]
  /** Every console session that was opened through the sign-in endpoint. */
  readonly consoleSessions: readonly ConsoleSession[]
  /** The metadata service of an instance with the profile `TeleportAWSAccess`. */
  readonly instance: Instance
  /** An account: the lab's own when no id is given; another is made when it is new. */
  account(id?: string, partition?: Partition): Account
  /** Variables for a program: the way in, and who it is. Without an identity: the administrator of the account. */
  environment(identity?: LabIdentity): Record<string, string>
  /** A new long-term key of a user, of the lab's own account unless said otherwise. */
  createAccessKey(user: string, account?: Account): AccessKey
  /** In the lab's own account and region, unless said otherwise. */
  createBucket(name: string, options?: { region?: string; account?: Account }): Bucket
  /** Puts an object without asking anybody. */
  putObject(bucket: string, key: string, content: string | Buffer): Promise<void>
  /** An EC2 instance that `DescribeInstances` shows, in the lab's own account and region. */
  addInstance(options?: { tags?: Readonly<Record<string, string>>; type?: string; hopLimit?: number }): Ec2Instance
  /** A cluster that EKS shows, in the lab's own account, and in its region unless said otherwise. */
  addEksCluster(cluster: Omit<EksCluster, 'region' | 'accountId'> & { readonly region?: string }): void
  /** Orders a fault; disposing what it gives calls it off. */
  inject(fault: Fault): Disposable
  /** Sets the time of the cloud, from which it goes on. `undefined`: the clock that it was started with. */
  setClock(now: Date | undefined): void
}

/** Name of the administrator whose keys `environment()` gives. */
const administrator = 'lab-admin'

/**
 * Starts the egress proxy and every AWS service behind it. The account has the administrator `lab-admin`, and what the
 * application access guide sets up: role `ExampleReadOnlyAccess` with the policy ReadOnlyAccess, which trusts role
 * `TeleportAWSAccess`, which an instance has and which may assume any role that trusts it.
 */
export async function startAwsLab(options: AwsLabOptions = {}): Promise<AwsLab> {
  const { accountId = '123456789012', partition = 'aws', region = 'us-east-1', log = silentLog } = options
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'aws-lab-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))

  const cloudClock = movableClock(options.clock ?? systemClock)
  const { clock } = cloudClock
  const accounts = new Directory(clock)
  const account = accounts.account(accountId, partition)
  const keys = new AccessKeys(clock)
  const store = new S3Store(directory)
  const faults = new Faults()
  const seen: SeenRequest[] = []
  const assumed: AssumedRole[] = []
  const consoleSessions: ConsoleSession[] = []
  const clusters: EksCluster[] = []
  const networks = new Map<string, Ec2Network>()
  const networkOf = (id: string, inRegion: string): Ec2Network => {
    const network = networks.get(`${id}/${inRegion}`) ?? createNetwork(id, inRegion)
    networks.set(`${id}/${inRegion}`, network)
    return network
  }
  const sessions = sessionManager()
  const services = [
    s3(store),
    sts({ directory: accounts, keys, assumed }),
    iam(keys),
    ec2(networkOf),
    dynamodb(),
    secretsManager(),
    eks(clusters),
    ...sessions.services,
  ]
  const frontDoor = openFrontDoor({ services, keys, clock, faults, seen, log })
  const aws: EgressRoute = {
    name: 'aws',
    answers: (host) => findEndpoint(host) !== undefined,
    serve: frontDoor,
    upgrade: sessions.upgrade,
  }

  const authority = createLabAuthority(systemClock)
  const caFile = join(directory, 'lab-ca.pem')
  await writeFile(caFile, authority.caPem)
  const signIn = consoleRoute({ keys, clock, sessions: consoleSessions })
  const routes = [aws, signIn, ...(options.routes ?? [])]
  const egress = stack.use(await startEgress({ routes, authority, log }))

  account.createUser(administrator, { attach: ['AdministratorAccess'] })
  if (!options.empty) setUpGuide(account)
  const adminKey = keys.createForUser(account, account.user(administrator))
  const instance = stack.use(await startInstance({ account, profile: 'TeleportAWSAccess', region, keys, clock }))
  const createBucket: AwsLab['createBucket'] = (name, { region: inRegion = region, account: owner = account } = {}) =>
    store.createBucket(name, { region: inRegion, account: owner, now: clock() })
  for (const name of options.buckets ?? []) createBucket(name)

  const running = stack.move()
  return {
    egress,
    egressUrl: egress.url,
    caFile,
    accountId,
    region,
    seen,
    assumed,
    managedSessions: sessions.sessions,
    consoleSessions,
    instance,
    account: (id = accountId, inPartition = partition) => accounts.account(id, inPartition),
    environment: (identity = {}) =>
      environmentFor({ identity, egressUrl: egress.url, caFile, region, account, keys, adminKey, instance, clock }),
    createAccessKey: (user, owner = account) => keys.createForUser(owner, owner.user(user)),
    createBucket,
    putObject: (bucket, key, content) => store.putBytes(bucket, key, Buffer.from(content), clock()),
    addInstance: (settings = {}) => addInstance(networkOf(accountId, region), { ...settings, now: clock() }),
    addEksCluster: (cluster) => void clusters.push({ region, ...cluster, accountId }),
    inject: (fault) => faults.add(fault),
    setClock: cloudClock.set,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** What the application access guide sets up. */
function setUpGuide(account: Account): void {
  const { partition } = account
  const service = partition === 'aws-cn' ? 'ec2.amazonaws.com.cn' : 'ec2.amazonaws.com'
  account.createPolicy('AssumeRole', policy({ Effect: 'Allow', Action: 'sts:AssumeRole', Resource: '*' }))
  const agent = account.createRole({
    name: 'TeleportAWSAccess',
    trust: policy({ Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }),
    attach: ['AssumeRole'],
  })
  account.createInstanceProfile('TeleportAWSAccess').role = agent
  account.createRole({
    name: 'ExampleReadOnlyAccess',
    trust: policy({ Effect: 'Allow', Principal: { AWS: agent.arn }, Action: 'sts:AssumeRole' }),
    attach: ['ReadOnlyAccess'],
  })
}

const policy = (statement: object): object => ({ Version: '2012-10-17', Statement: [statement] })

function movableClock(base: Clock): { readonly clock: Clock; readonly set: (now: Date | undefined) => void } {
  let offsetMs = 0
  return {
    clock: () => new Date(base().getTime() + offsetMs),
    set(now) {
      offsetMs = now === undefined ? 0 : now.getTime() - base().getTime()
    },
  }
}
