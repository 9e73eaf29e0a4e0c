import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Environment } from '#cli/terminal.ts'
import { getActiveLogin, type Login, LoginExpired } from '#client/active-login.ts'
import { parseProxyAddress } from '#client/proxy-address.ts'
import { createEgress, type Egress, egressFromEnvironment } from '#net/egress.ts'
import type { RpcConnection } from '#rpc/client.ts'
import type { TshDeps } from './deps.ts'

/** A valid login with a connection to its cluster, for one command. */
export interface ClusterSession extends AsyncDisposable {
  readonly login: Login
  readonly connection: RpcConnection
  readonly egress: Egress
}

/** Options that tsh takes before or after the command's name. */
export interface GlobalOptions {
  readonly proxy?: string
  readonly user?: string
  readonly insecure?: boolean
  readonly skipVersionCheck?: boolean
}

/**
 * Finds the login that the command runs with and prepares calls to its cluster; nothing is dialled yet.
 * A login that has expired is renewed by asking for the password, where somebody can answer.
 *
 * @throws {NotLoggedIn}
 * @throws {LoginExpired} where nobody can answer
 */
export async function openClusterSession(deps: TshDeps, command: Command): Promise<ClusterSession> {
  const login = await getLogin(deps, command)
  return connectSession(deps, login)
}

/** As `openClusterSession`, for a login that is at hand. */
export async function connectSession(deps: TshDeps, login: Login): Promise<ClusterSession> {
  const { connectCluster } = await import('#client/cluster.ts')
  const egress = openEgress(deps.env)
  const connection = connectCluster(login, egress)
  return {
    login,
    connection,
    egress,
    async [Symbol.asyncDispose]() {
      await connection[Symbol.asyncDispose]()
      egress[Symbol.dispose]()
    },
  }
}

/** The valid login of the active profile, or of `--proxy`. */
export async function getLogin(deps: TshDeps, command: Command): Promise<Login> {
  const { proxy = deps.env.TELEPORT_PROXY } = command.optsWithGlobals<GlobalOptions>()
  const proxyHost = proxy === undefined || proxy === '' ? undefined : parseProxyAddress(proxy).host
  const find = (): Promise<Login> => getActiveLogin(deps.home, { now: deps.clock(), proxyHost })
  try {
    return await find()
  } catch (error) {
    if (!(error instanceof LoginExpired) || deps.terminal.stdin.isTTY !== true) throw error
    deps.terminal.stderr.write('Your login has expired.\n')
    const { logInAgain } = await import('./log-in.ts')
    await logInAgain(deps, proxyHost)
    return find()
  }
}

/** The way out of this machine, as the environment sets it. */
export function openEgress(env: Environment): Egress {
  return createEgress(egressFromEnvironment(env, (path) => readFileSync(path, 'utf8')))
}
