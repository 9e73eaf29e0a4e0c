/** All accounts of the lab. Names are looked up across them, as AWS does. */
import type { Clock } from '#clock.ts'
import { Account, type InstanceProfile, type Partition, type Role } from './account.ts'

/** The accounts, by id. */
export class Directory {
  readonly #accounts = new Map<string, Account>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The account of that id; made in partition `aws` when it is new. */
  account(id: string, partition: Partition = 'aws'): Account {
    const found = this.#accounts.get(id)
    if (found) return found
    const settings = { id, partition, clock: this.#clock, principalExists: (value: string) => this.#exists(value) }
    const account = new Account(settings)
    this.#accounts.set(id, account)
    return account
  }

  /** A role by its ARN, in any account. */
  findRole(arn: string): { readonly account: Account; readonly role: Role } | undefined {
    for (const account of this.#accounts.values()) {
      for (const role of account.roles.values()) if (role.arn === arn) return { account, role }
    }
    return undefined
  }

  /** An instance profile by name, in any account. */
  findInstanceProfile(name: string): { readonly account: Account; readonly profile: InstanceProfile } | undefined {
    for (const account of this.#accounts.values()) {
      const profile = account.instanceProfiles.get(name)
      if (profile) return { account, profile }
    }
    return undefined
  }

  /** A trust policy may name an account, a user, a role or a session of a role. */
  #exists(value: string): boolean {
    const [, id = '', rest] = /^(?:arn:[\w-]+:(?:iam|sts)::)?(\d{12})(?::(.+))?$/.exec(value) ?? []
    const account = this.#accounts.get(id)
    if (!account) return false
    if (rest === undefined || rest === 'root') return true
    const session = /^assumed-role\/([^/]+)\/[\w+=,.@-]{2,64}$/.exec(rest)
    if (session) return account.roles.has(session[1] ?? '')
    return [...account.users.values(), ...account.roles.values()].some(({ arn }) => arn === value)
  }
}
