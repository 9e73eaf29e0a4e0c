import { readFileSync } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import type { Command } from 'commander'
import { getActiveLogin, NotLoggedIn } from '#client/active-login.ts'
import { type AuthHost, findAuthHost } from '#client/auth-host.ts'
import { connectCluster } from '#client/cluster.ts'
import { readIdentityFile } from '#client/identity-file.ts'
import { parseProxyAddress } from '#client/proxy-address.ts'
import { AccessDenied, NotFound } from '#errors.ts'
import { createEgress, egressFromEnvironment } from '#net/egress.ts'
import { product } from '#product.ts'
import { createRpcClient, type RpcConnection } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import type { TctlDeps } from './deps.ts'

/** Options of tctl that say which cluster, and as whom. */
interface ConnectOptions {
  readonly config?: string
  readonly identity?: string
  readonly authServer?: string
}

/** Calls to the Auth Service, and who makes them. */
export interface TctlConnection extends AsyncDisposable {
  readonly rpc: RpcConnection
}

const DEFAULT_AUTH_SERVER = '127.0.0.1:3025'

/**
 * Connects as the first of: the identity file that was named; the local administrator, on a machine that runs the
 * Auth Service; the user who is logged in with tsh.
 *
 * @throws {NotFound} where none of them is there
 * @throws {AccessDenied} where the local administrator's file may not be read, and nobody is logged in
 */
export async function connectToAuth(deps: TctlDeps, command: Command): Promise<TctlConnection> {
  const options = command.optsWithGlobals<ConnectOptions>()
  if (options.identity !== undefined) {
    const address = options.authServer ?? DEFAULT_AUTH_SERVER
    return connectByFile(deps, { file: options.identity, address: addressOf(address) })
  }
  const host = await localAuthHost(deps, options)
  if (host !== undefined && (await mayRead(host.identityFile))) {
    const address = options.authServer === undefined ? host : addressOf(options.authServer)
    deps.log.debug('connecting as the local administrator', { identity: host.identityFile, ...address })
    return connectByFile(deps, { file: host.identityFile, address })
  }
  return connectByLogin(deps, host)
}

async function localAuthHost({ env }: TctlDeps, { config }: ConnectOptions): Promise<AuthHost | undefined> {
  const named = config ?? (env.TELEPORT_CONFIG_FILE || undefined)
  const found = await findAuthHost(named ?? product.configFile)
  if (found === undefined && config !== undefined) {
    throw new NotFound(`${config} is no configuration of an Auth Service`, {
      hint: 'check the path, and that auth_service is enabled in it',
    })
  }
  return found
}

async function mayRead(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}

interface FileConnection {
  readonly file: string
  readonly address: { readonly host: string; readonly port: number }
}

async function connectByFile(deps: TctlDeps, { file, address }: FileConnection): Promise<TctlConnection> {
  const { certificatePem, privateKeyPem, hostAuthorities, identity } = await readIdentityFile(file)
  const egress = createEgress(egressFromEnvironment(deps.env, (path) => readFileSync(path, 'utf8')))
  const rpc = createRpcClient({
    dial: (signal) => egress.dial(address.host, address.port, { signal }),
    serverName: authServerName(identity.cluster),
    hostAuthorities,
    certificate: { cert: certificatePem, key: privateKeyPem },
  })
  return owned(rpc, egress)
}

async function connectByLogin(deps: TctlDeps, host: AuthHost | undefined): Promise<TctlConnection> {
  const login = await getActiveLogin(deps.home, { now: deps.clock() }).catch((error: unknown) => {
    if (!(error instanceof NotLoggedIn)) throw error
    throw host === undefined
      ? new NotFound('tctl does not know which cluster to call', {
          hint: 'log in with "tsh login", or run tctl on the host of the Auth Service, or give --identity and --auth-server',
        })
      : new AccessDenied(`the identity of the local administrator ${host.identityFile} cannot be read`, {
          hint: `run tctl as the user that runs ${product.daemon} (sudo), after its first start, or log in with "tsh login"`,
        })
  })
  const egress = createEgress(egressFromEnvironment(deps.env, (path) => readFileSync(path, 'utf8')))
  return owned(connectCluster(login, egress), egress)
}

function owned(rpc: RpcConnection, egress: Disposable): TctlConnection {
  return {
    rpc,
    async [Symbol.asyncDispose]() {
      await rpc[Symbol.asyncDispose]()
      egress[Symbol.dispose]()
    },
  }
}

/** The Auth Service's default port is not that of a proxy. */
function addressOf(text: string): { host: string; port: number } {
  const { host, port } = parseProxyAddress(text)
  return { host, port: /:\d+$/.test(text.trim()) ? port : 3025 }
}
