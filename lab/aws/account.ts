/** One AWS account: its users, roles, policies, instance profiles and OpenID Connect providers. */
import { type JsonWebKeyInput, randomBytes } from 'node:crypto'
import type { Clock } from '#clock.ts'
import { AwsError } from './aws-error.ts'
import { findManagedPolicy } from './managed-policies.ts'
import { invalidPrincipal, type Policy, parsePolicy } from './policy.ts'

/** A public key as a provider publishes it (RFC 7517). */
export type Jwk = JsonWebKeyInput['key']

/** Parts of AWS that know nothing of one another. */
export type Partition = 'aws' | 'aws-cn' | 'aws-us-gov'

/** What users and roles have in common: a name, an ARN and policies. */
export interface Identity {
  readonly kind: 'user' | 'role'
  readonly name: string
  /** `/` or `/team/`. */
  readonly path: string
  readonly arn: string
  /** `AIDA…` or `AROA…`. */
  readonly id: string
  readonly createdAt: Date
  readonly inline: Map<string, Policy>
  /** ARNs of attached policies. */
  readonly attached: Set<string>
  readonly tags: Map<string, string>
}

/** A user, with long-term keys. */
export interface User extends Identity {
  readonly kind: 'user'
}

/** A role: who may take it (`trust`), what it may do, and for how long. */
export interface Role extends Identity {
  readonly kind: 'role'
  trust: Policy
  maxSessionSeconds: number
  description: string | undefined
}

/** A policy that an account made itself: `arn:aws:iam::123456789012:policy/AssumeRole`. */
export interface CustomerPolicy {
  readonly name: string
  readonly path: string
  readonly arn: string
  readonly id: string
  readonly createdAt: Date
  readonly document: Policy
  readonly description: string | undefined
}

/** What gives an EC2 instance its role. */
export interface InstanceProfile {
  readonly name: string
  readonly path: string
  readonly arn: string
  readonly id: string
  readonly createdAt: Date
  role: Role | undefined
}

/** An OpenID Connect provider whose tokens roles may trust. */
export interface OidcProvider {
  readonly arn: string
  /** Without the scheme, as the ARN and the condition keys have it: `oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE`. */
  readonly url: string
  readonly clientIds: readonly string[]
  readonly createdAt: Date
  /** The keys that its tokens are signed with. The lab does not fetch them. */
  keys: readonly Jwk[]
}

/** What a role is made from. */
export interface RoleSettings {
  readonly name: string
  readonly path?: string
  /** Trust policy as JSON text or as a document. */
  readonly trust: string | object
  /** Managed or own policies, by name or ARN. */
  readonly attach?: readonly string[]
  readonly inline?: Readonly<Record<string, string | object>>
  readonly maxSessionSeconds?: number
  readonly description?: string
  readonly tags?: Readonly<Record<string, string>>
}

/** What an account is made from. */
export interface AccountSettings {
  readonly id: string
  readonly partition: Partition
  readonly clock: Clock
  /** Does this ARN or account id name someone in any account of the lab? */
  readonly principalExists: (value: string) => boolean
}

/** Refuses with the errors of the IAM API, whoever calls. */
export class Account {
  readonly id: string
  readonly partition: Partition
  readonly users = new Map<string, User>()
  readonly roles = new Map<string, Role>()
  readonly policies = new Map<string, CustomerPolicy>()
  readonly instanceProfiles = new Map<string, InstanceProfile>()
  readonly oidcProviders = new Map<string, OidcProvider>()
  readonly #clock: Clock
  readonly #principalExists: (value: string) => boolean

  constructor({ id, partition, clock, principalExists }: AccountSettings) {
    if (!/^\d{12}$/.test(id)) throw new Error(`an account id has 12 digits: ${id}`)
    this.id = id
    this.partition = partition
    this.#clock = clock
    this.#principalExists = principalExists
  }

  /** `iamArn('role', '/', 'Reader')` gives `arn:aws:iam::123456789012:role/Reader`. */
  iamArn(type: string, path: string, name: string): string {
    return `arn:${this.partition}:iam::${this.id}:${type}${path}${name}`
  }

  createUser(name: string, { path = '/', attach = [] }: { path?: string; attach?: readonly string[] } = {}): User {
    checkName('userName', name, 64)
    checkPath(path)
    if (this.users.has(name)) throw exists(`User with name ${name} already exists.`)
    const user: User = { kind: 'user', ...this.#identity('user', 'AIDA', path, name) }
    for (const policy of attach) user.attached.add(this.policyArn(policy))
    this.users.set(name, user)
    return user
  }

  createRole(settings: RoleSettings): Role {
    const { name, path = '/', attach = [], inline = {}, maxSessionSeconds = 3600, description, tags = {} } = settings
    checkName('roleName', name, 64)
    checkPath(path)
    checkMaxSession(maxSessionSeconds)
    if (this.roles.has(name)) throw exists(`Role with name ${name} already exists.`)
    const trust = this.parseTrust(settings.trust)
    const identity = this.#identity('role', 'AROA', path, name)
    const role: Role = { kind: 'role', ...identity, trust, maxSessionSeconds, description }
    for (const policy of attach) role.attached.add(this.policyArn(policy))
    for (const [policyName, document] of Object.entries(inline)) {
      role.inline.set(policyName, parsePolicy(asText(document), 'identity'))
    }
    for (const [key, value] of Object.entries(tags)) role.tags.set(key, value)
    this.roles.set(name, role)
    return role
  }

  /** Parses a trust policy and checks that everybody it names is there, as IAM does. */
  parseTrust(document: string | object): Policy {
    const trust = parsePolicy(asText(document), 'trust')
    for (const { kind, value } of trust.statements.flatMap(({ principals }) => principals)) {
      const known =
        kind === 'AWS'
          ? value === '*' || this.#principalExists(value)
          : kind === 'Service'
            ? /^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?$/.test(value)
            : /^arn:[\w-]+:iam::\d{12}:(?:oidc|saml)-provider\/.+$/.test(value)
      if (!known) throw invalidPrincipal(kind, value)
    }
    return trust
  }

  createPolicy(name: string, document: string | object, { path = '/', description = '' } = {}): CustomerPolicy {
    checkName('policyName', name, 128)
    checkPath(path)
    const arn = this.iamArn('policy', path, name)
    if (this.policies.has(arn)) {
      throw exists(`A policy called ${name} already exists. Duplicate names are not allowed.`)
    }
    const policy: CustomerPolicy = {
      name,
      path,
      arn,
      id: newId('ANPA'),
      createdAt: this.#clock(),
      document: parsePolicy(asText(document), 'identity'),
      description: description || undefined,
    }
    this.policies.set(arn, policy)
    return policy
  }

  createInstanceProfile(name: string, { path = '/' } = {}): InstanceProfile {
    checkName('instanceProfileName', name, 128)
    checkPath(path)
    if (this.instanceProfiles.has(name)) throw exists(`Instance Profile ${name} already exists.`)
    const arn = this.iamArn('instance-profile', path, name)
    const profile = { name, path, arn, id: newId('AIPA'), createdAt: this.#clock(), role: undefined }
    this.instanceProfiles.set(name, profile)
    return profile
  }

  /** @param url as IAM takes it: `https://` and the issuer */
  createOidcProvider(
    url: string,
    { clientIds = [], keys = [] }: { clientIds?: readonly string[]; keys?: readonly Jwk[] } = {},
  ): OidcProvider {
    if (!/^https:\/\/[^\s?#]+$/.test(url))
      throw new AwsError('ValidationError', 400, 'Invalid Open ID Connect Provider URL')
    const bare = url.slice('https://'.length).replace(/\/$/, '')
    const arn = this.iamArn('oidc-provider', '/', bare)
    if (this.oidcProviders.has(arn)) throw exists(`Provider with url ${url} already exists.`)
    const provider = { arn, url: bare, clientIds, keys, createdAt: this.#clock() }
    this.oidcProviders.set(arn, provider)
    return provider
  }

  /** @throws {AwsError} NoSuchEntity */
  user(name: string): User {
    return this.users.get(name) ?? missing(`The user with name ${name} cannot be found.`)
  }

  /** @throws {AwsError} NoSuchEntity */
  role(name: string): Role {
    return this.roles.get(name) ?? missing(`The role with name ${name} cannot be found.`)
  }

  /** @throws {AwsError} NoSuchEntity */
  instanceProfile(name: string): InstanceProfile {
    return this.instanceProfiles.get(name) ?? missing(`Instance Profile ${name} cannot be found.`)
  }

  /** The ARN of a managed or own policy given by ARN or by name. @throws {AwsError} NoSuchEntity */
  policyArn(policy: string): string {
    const own = this.iamArn('policy', '/', policy)
    const candidates = [policy, own, `arn:${this.partition}:iam::aws:policy/${policy}`]
    const found = candidates.find((arn) => this.policies.has(arn) || findManagedPolicy(arn) !== undefined)
    return found ?? missing(`Policy ${policy} does not exist or is not attachable.`)
  }

  /** All identity policies of a user or role: inline ones and attached ones. */
  policiesOf(identity: Identity): readonly Policy[] {
    const attached = [...identity.attached].map((arn) => this.policies.get(arn)?.document ?? findManagedPolicy(arn))
    return [...identity.inline.values(), ...attached.filter((policy) => policy !== undefined)]
  }

  #identity(type: 'user' | 'role', prefix: string, path: string, name: string): Omit<Identity, 'kind'> {
    return {
      name,
      path,
      arn: this.iamArn(type, path, name),
      id: newId(prefix),
      createdAt: this.#clock(),
      inline: new Map(),
      attached: new Set(),
      tags: new Map(),
    }
  }
}

/** `newId('AKIA')`: the prefix and 17 further characters, as AWS makes its unique ids. */
export function newId(prefix: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  return prefix + [...randomBytes(17)].map((byte) => alphabet[byte % 32]).join('')
}

/** @throws {AwsError} ValidationError, unless between one and twelve hours */
export function checkMaxSession(seconds: number): void {
  if (!Number.isInteger(seconds) || seconds < 3600 || seconds > 43_200) {
    const bound = seconds > 43_200 ? 'less than or equal to 43200' : 'greater than or equal to 3600'
    throw new AwsError(
      'ValidationError',
      400,
      `1 validation error detected: Value '${seconds}' at 'maxSessionDuration' failed to satisfy constraint: Member must have value ${bound}`,
    )
  }
}

function checkName(field: string, name: string, longest: number): void {
  if (name.length > longest || !/^[\w+=,.@-]+$/.test(name)) {
    throw new AwsError(
      'ValidationError',
      400,
      `The specified value for ${field} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-`,
    )
  }
}

function checkPath(path: string): void {
  if (!/^\/(?:[\x21-\x7e]+\/)?$/.test(path)) {
    throw new AwsError(
      'ValidationError',
      400,
      'The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.',
    )
  }
}

const asText = (document: string | object): string =>
  typeof document === 'string' ? document : JSON.stringify(document)
const exists = (message: string): AwsError => new AwsError('EntityAlreadyExists', 409, message)

function missing(message: string): never {
  throw new AwsError('NoSuchEntity', 404, message)
}
