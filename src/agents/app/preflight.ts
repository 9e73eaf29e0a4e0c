/**
 * Looks ahead for what would make calls to AWS fail: credentials, STS, the clock, and the trust policies of the roles
 * that people may take. It tells the log alone; nobody waits for it, and nothing is refused because of it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BaseCredentials } from '#aws/credentials-client.ts'
import { partitionOfArn } from '#aws/partition.ts'
import type { RoleCredentials } from '#aws/sts-client.ts'
import { AccessError } from '#errors.ts'
import type { Log } from '#log.ts'
import type { App } from '#resources/app.ts'
import type { Role } from '#resources/role.ts'
import { type PreflightTarget, preflightTargets, trustStatement } from './preflight-targets.ts'

export interface PreflightOptions {
  readonly credentials: Pick<RoleCredentials, 'get' | 'identify'>
  readonly apps: () => readonly App[]
  readonly roles: () => readonly Role[]
  /** Partition of the agent's own region; that one is looked at also while there is no role to take. */
  readonly homePartition?: string
  readonly log: Log
  /** Waits until the next look, or between two questions; gives `false` at the end. A test passes its own. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<boolean>
}

/** Looks from now on, until it is disposed. */
export interface Preflight extends AsyncDisposable {
  /** What does not work at present: `sts:aws`, or ARNs of roles. */
  failing(): readonly string[]
}

/** Roles that are asked for; of more, the first by name. */
const MAX_TARGETS = 100
const BETWEEN_TARGETS_MS = 100
const RETRY_MS = 180_000
/** New apps and roles are looked at within this time. */
const LOOK_MS = 30_000
/** From here on it is worth a word; AWS refuses signatures from five minutes on. */
const CLOCK_MS = 60_000

export function startPreflight(options: PreflightOptions): Preflight {
  const preflight = new RunningPreflight(options)
  const ending = new AbortController()
  const running = preflight.run(ending.signal)
  return {
    failing: () => preflight.failing(),
    async [Symbol.asyncDispose]() {
      ending.abort()
      await running
    },
  }
}

class RunningPreflight {
  readonly #options: PreflightOptions
  readonly #pause: NonNullable<PreflightOptions['pause']>
  /** What was found last; undefined: it works. Nothing is said twice. */
  readonly #found = new Map<string, string | undefined>()
  readonly #agentArn = new Map<string, string>()

  constructor(options: PreflightOptions) {
    this.#options = options
    this.#pause = options.pause ?? pauseFor
  }

  failing(): readonly string[] {
    return [...this.#found].flatMap(([name, problem]) => (problem === undefined ? [] : [name]))
  }

  async run(signal: AbortSignal): Promise<void> {
    let sinceRetryMs = RETRY_MS
    do {
      const isRetry = sinceRetryMs >= RETRY_MS
      if (isRetry) sinceRetryMs = 0
      await this.#look(isRetry, signal)
      sinceRetryMs += LOOK_MS
    } while (await this.#pause(LOOK_MS, signal))
  }

  /** Asks for what was not asked for yet, and again, at a retry, for what failed. */
  async #look(isRetry: boolean, signal: AbortSignal): Promise<void> {
    const { apps, roles, homePartition } = this.#options
    const targets = preflightTargets(apps(), roles()).slice(0, MAX_TARGETS)
    const isDue = (name: string): boolean => !this.#found.has(name) || (isRetry && this.#found.get(name) !== undefined)
    this.#forget(targets)
    const partitions = new Set(targets.map(({ roleArn }) => partitionOfArn(roleArn) ?? ''))
    if (homePartition !== undefined) partitions.add(homePartition)
    for (const partition of partitions) {
      if (isDue(`sts:${partition}`)) await this.#identify(partition)
      const agentArn = this.#agentArn.get(partition)
      if (agentArn === undefined) continue
      for (const target of targets) {
        if (partitionOfArn(target.roleArn) !== partition || !isDue(target.key)) continue
        if (!(await this.#pause(BETWEEN_TARGETS_MS, signal))) return
        await this.#assume(target, agentArn)
      }
    }
  }

  async #identify(partition: string): Promise<void> {
    const name = `sts:${partition}`
    try {
      const { arn, kind, aheadMs = 0 } = await this.#options.credentials.identify(partition)
      this.#agentArn.set(partition, arn)
      if (Math.abs(aheadMs) >= CLOCK_MS) return this.#failed(name, clockText(aheadMs), {})
      const isFirst = !this.#found.has(name)
      this.#worked(name, 'AWS knows the credentials of this agent', { aws_principal: arn, partition })
      if (isFirst) this.#options.log.info(`AWS knows this agent as ${arn}`, { credentials: kind, ...consoleNote(kind) })
    } catch (error) {
      this.#agentArn.delete(partition)
      this.#failed(name, textOf(error), { partition, hint: hintOf(error) })
    }
  }

  async #assume({ key, app, roleArn, externalId }: PreflightTarget, agentArn: string): Promise<void> {
    try {
      await this.#options.credentials.get({
        app,
        // No user is called so: what comes of this is kept for nobody else.
        user: '',
        roleArn,
        sessionName: SESSION_NAME,
        region: '',
        ...(externalId === undefined ? {} : { externalId }),
      })
      this.#worked(key, 'the role can be assumed', { app, role: roleArn })
    } catch (error) {
      const isDenied = error instanceof AccessError && error.code === 'denied'
      const cure = isDenied ? `; add to the trust policy of ${roleArn}: ${trustStatement(agentArn, externalId)}` : ''
      this.#failed(key, `a role cannot be assumed: ${textOf(error)}${cure}`, {
        app,
        role: roleArn,
        aws_principal: agentArn,
        hint: hintOf(error),
      })
    }
  }

  #worked(key: string, message: string, fields: Readonly<Record<string, unknown>>): void {
    const { log } = this.#options
    if (this.#found.get(key) !== undefined) log.info(`${message} now`, fields)
    else if (!this.#found.has(key)) log.debug(message, fields)
    this.#found.set(key, undefined)
  }

  #failed(key: string, message: string, fields: Readonly<Record<string, unknown>>): void {
    const problem = message.replaceAll(/\d+/g, '') // numbers differ from one answer to the next
    if (this.#found.get(key) !== problem) this.#options.log.warn(message, fields)
    this.#found.set(key, problem)
  }

  /** Roles that nobody may take any more. */
  #forget(targets: readonly PreflightTarget[]): void {
    const keys = new Set(targets.map(({ key }) => key))
    for (const key of this.#found.keys()) if (!key.startsWith('sts:') && !keys.has(key)) this.#found.delete(key)
  }
}

const SESSION_NAME = 'teleport-preflight'

/** AWS lets a role live for an hour when temporary credentials assume it, those of an instance excepted. */
function consoleNote(kind: BaseCredentials['kind']): Readonly<Record<string, string>> {
  if (kind !== 'temporary') return {}
  return {
    note: 'with temporary credentials sessions of the AWS console end after one hour; run the agent on EC2 with an instance role for up to twelve',
  }
}

function clockText(aheadMs: number): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1000)
  const direction = aheadMs > 0 ? 'behind' : 'ahead of'
  const far = `${Math.floor(seconds / 60)}m${seconds % 60}s`
  return `the clock of this host is ${far} ${direction} that of AWS, which refuses signatures when they are 5 minutes apart: synchronize it with a time server`
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
const hintOf = (error: unknown): string | undefined => (error instanceof AccessError ? error.hint : undefined)

async function pauseFor(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal, ref: false })
    return true
  } catch {
    return false
  }
}
