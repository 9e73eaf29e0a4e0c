import type { Command } from 'commander'
import { collectList } from '#cli/command.ts'
import { UsageError } from '#cli/usage-error.ts'

/** A trait of a user as flags name it: `--aws-role-arns` at `add`, `--set-aws-role-arns` at `update`. */
export interface TraitFlag {
  readonly flag: string
  readonly trait: string
  /** As `tctl users update` says what changed. */
  readonly label: string
}

/** Every trait that has a flag, in the order in which `update` reports them. */
export const traitFlags: readonly TraitFlag[] = [
  { flag: 'logins', trait: 'logins', label: 'logins' },
  { flag: 'windows-logins', trait: 'windows_logins', label: 'Windows logins' },
  { flag: 'kubernetes-users', trait: 'kubernetes_users', label: 'Kubernetes users' },
  { flag: 'kubernetes-groups', trait: 'kubernetes_groups', label: 'Kubernetes groups' },
  { flag: 'db-users', trait: 'db_users', label: 'database users' },
  { flag: 'db-names', trait: 'db_names', label: 'database names' },
  { flag: 'db-roles', trait: 'db_roles', label: 'database roles' },
  { flag: 'aws-role-arns', trait: 'aws_role_arns', label: 'AWS role ARNs' },
  { flag: 'azure-identities', trait: 'azure_identities', label: 'Azure identities' },
  { flag: 'gcp-service-accounts', trait: 'gcp_service_accounts', label: 'GCP service accounts' },
  { flag: 'host-user-uid', trait: 'host_user_uid', label: 'Host user UID' },
  { flag: 'host-user-gid', trait: 'host_user_gid', label: 'Host user GID' },
]

/** Adds the flags of all traits to a command; `prefix` is `set-` for `update`. */
export function addTraitFlags(command: Command, prefix: '' | 'set-'): Command {
  for (const { flag, label } of traitFlags) {
    const says = prefix === '' ? `${label}, separated by commas` : `replace the ${label}`
    command.option(`--${prefix}${flag} <list>`, says, collectList)
  }
  return command.option(
    `--${prefix}traits <name=a,b>`,
    prefix === '' ? 'any other trait, repeatable' : 'replace any other trait',
    collectTrait,
  )
}

/**
 * The traits that the flags of a command line set. A flag with an empty value gives an empty list.
 *
 * @throws {UsageError} for a value that its trait cannot have
 */
export function traitsOf(
  options: Readonly<Record<string, unknown>>,
  prefix: '' | 'set-',
): Readonly<Record<string, readonly string[]>> {
  const named = traitFlags.flatMap(({ flag, trait }): [string, readonly string[]][] => {
    const values = options[camelCase(`${prefix}${flag}`)]
    return isList(values) ? [[trait, values]] : []
  })
  const free = options[camelCase(`${prefix}traits`)]
  const traits = { ...Object.fromEntries(named), ...(isTraits(free) ? free : {}) }
  for (const [trait, values] of Object.entries(traits)) checkTrait(trait, values)
  return traits
}

const AZURE_IDENTITY =
  /^\/subscriptions\/([a-fA-F0-9-]+)\/resourceGroups\/([0-9a-zA-Z-_]+)\/providers\/Microsoft\.ManagedIdentity\/userAssignedIdentities\/([0-9a-zA-Z-_]+)$/i
const GCP_ACCOUNT = /^[^@\s]+@[^@\s.]+\.iam\.gserviceaccount\.com$/

function checkTrait(trait: string, values: readonly string[]): void {
  const fail = (message: string, hint: string): never => {
    throw new UsageError(message, { hint })
  }
  for (const value of values) {
    switch (trait) {
      case 'azure_identities':
        if (value === '*') fail('Azure identity cannot be a wildcard.', 'name each identity by its resource id')
        if (!AZURE_IDENTITY.test(value)) {
          fail(
            `Azure identity ${JSON.stringify(value)} has invalid format.`,
            'write /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME',
          )
        }
        break
      case 'db_roles':
        if (value === '*') fail("database role can't be a wildcard", 'name each role')
        break
      case 'gcp_service_accounts':
        if (value === '*') fail('GCP service account cannot be a wildcard.', 'name each account')
        if (!GCP_ACCOUNT.test(value)) {
          fail(
            `GCP service account ${JSON.stringify(value)} has invalid format.`,
            'write NAME@PROJECT.iam.gserviceaccount.com',
          )
        }
        break
      case 'host_user_uid':
      case 'host_user_gid':
        if (!/^\d+$/.test(value))
          fail(`host user ${trait.slice(-3).toUpperCase()} must be a numeric ID`, 'write a number')
        break
    }
  }
}

function collectTrait(text: string, before: TraitLists | undefined = {}): TraitLists {
  const [, name = '', values = ''] = /^\s*([\w.-]+)\s*=(.*)$/s.exec(text) ?? []
  if (name === '') throw new UsageError(`invalid trait: ${JSON.stringify(text)}`, { hint: 'write NAME=VALUE,VALUE' })
  return { ...before, [name]: collectList(values, before[name]) }
}

type TraitLists = Readonly<Record<string, readonly string[]>>

function camelCase(flag: string): string {
  return flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value)
}

function isTraits(value: unknown): value is Readonly<Record<string, readonly string[]>> {
  return typeof value === 'object' && value !== null // `collectTrait` gives nothing else
}
