/** A whole cluster on loopback, of real processes with real configuration files: for the tour and for the journeys. */
import { randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { openShell, type Running, type Shell } from '#test/shell.ts'
import { type Authenticator, createAuthenticator } from './authenticator.ts'

export interface ClusterOptions {
  /** An empty folder that the cluster may fill. */
  readonly dir: string
  readonly clusterName?: string
  /** Certificate and key files of the web listener; left out: the cluster's own. */
  readonly keypair?: { readonly certFile: string; readonly keyFile: string }
  /** Lines below `auth_service`, indented by two. */
  readonly authLines?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** One process for Auth and one for Proxy. */
  readonly split?: boolean
}

export interface Cluster extends AsyncDisposable {
  readonly name: string
  readonly dir: string
  /** `localhost:PORT`. */
  readonly proxyAddr: string
  readonly caPin: string
  /** The Auth host's terminal: `tctl` has full rights there. */
  readonly admin: Shell
  /** The process of each service; a test may kill and restart it. */
  readonly processes: { auth: Service; proxy?: Service }
  /** Invites a user, who signs up as a person would. */
  addUser(name: string, roles: readonly string[], env?: Readonly<Record<string, string>>): Promise<Person>
  /** Joins and starts an Application Service. */
  startAgent(options: AgentOptions): Promise<Service>
}

/** A person with a workstation. */
export interface Person {
  readonly name: string
  readonly password: string
  readonly authenticator: Authenticator
  readonly shell: Shell
  /** Signs in with password and code; `flags` go to `tsh login`. */
  login(flags?: string): Promise<void>
}

interface AgentOptions {
  readonly name: string
  /** Lines below `app_service`, indented by two. */
  readonly appLines: readonly string[]
  /** Lines below `teleport`, indented by two. */
  readonly teleportLines?: readonly string[]
  /** What the agent's host sets: the way out, and where its AWS credentials come from. */
  readonly env: Readonly<Record<string, string>>
}

/** A daemon with its configuration file. */
export interface Service extends AsyncDisposable {
  readonly configFile: string
  readonly dataDir: string
  output(): string
  pid(): number
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  /** Starts it again with the same file, and waits until it is ready. */
  start(): Promise<void>
}

export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const { dir, clusterName = 'lab.example' } = options
  mkdirSync(dir, { recursive: true })
  const authPort = await freePort()
  const proxyPort = await freePort()
  const proxyAddr = `localhost:${proxyPort}`
  const authSection = [
    'auth_service:',
    '  enabled: yes',
    `  cluster_name: ${clusterName}`,
    `  listen_addr: 127.0.0.1:${authPort}`,
    ...(options.authLines ?? []).map((line) => `  ${line}`),
  ]
  const proxySection = [
    'proxy_service:',
    '  enabled: yes',
    `  web_listen_addr: 127.0.0.1:${proxyPort}`,
    `  public_addr: ${proxyAddr}`,
    ...(options.keypair === undefined
      ? []
      : [
          '  https_keypairs:',
          `  - key_file: ${options.keypair.keyFile}`,
          `    cert_file: ${options.keypair.certFile}`,
        ]),
  ]
  const shellEnv = options.env ?? {}
  const auth = stack.use(
    await startService({
      name: 'auth',
      dir,
      env: shellEnv,
      sections:
        options.split === true
          ? [...authSection, 'proxy_service:', '  enabled: no']
          : [...authSection, ...proxySection],
    }),
  )
  const admin = openShell({ home: join(dir, 'admin'), env: { ...shellEnv, TELEPORT_CONFIG_FILE: auth.configFile } })
  const processes: { auth: Service; proxy?: Service } = { auth }
  const status = await admin.run('tctl status')
  const caPin = /sha256:[0-9a-f]{64}/.exec(status.stdout)?.[0] ?? ''
  if (options.split === true) {
    const token = (await admin.run('tctl tokens add --type=proxy --ttl=1h --format=text')).stdout.trim()
    processes.proxy = stack.use(
      await startService({
        name: 'proxy',
        dir,
        env: shellEnv,
        join: [
          '  join_params:',
          `    token_name: ${token}`,
          '    method: token',
          `  auth_server: 127.0.0.1:${authPort}`,
          `  ca_pin: ${caPin}`,
        ],
        sections: ['auth_service:', '  enabled: no', ...proxySection],
      }),
    )
  }
  const owned = stack.move()
  return {
    name: clusterName,
    dir,
    proxyAddr,
    caPin,
    admin,
    processes,
    async addUser(name, roles, env = {}) {
      const shell = openShell({ home: join(dir, `home-${encodeURIComponent(name)}`), env: { ...shellEnv, ...env } })
      const person = await signUp({
        admin,
        shell,
        name,
        roles,
        proxyAddr,
        pin: options.keypair === undefined ? caPin : '',
      })
      return person
    },
    async startAgent({ name, appLines, teleportLines = [], env }) {
      const token = (await admin.run('tctl tokens add --type=app --ttl=1h --format=text')).stdout.trim()
      const tokenFile = join(dir, `${name}.token`)
      writeFileSync(tokenFile, token, { mode: 0o600 })
      return owned.use(
        await startService({
          name,
          dir,
          env,
          join: [
            '  join_params:',
            `    token_name: ${tokenFile}`,
            '    method: token',
            `  proxy_server: ${proxyAddr}`,
            `  ca_pin: ${caPin}`,
            ...teleportLines.map((line) => `  ${line}`),
          ],
          sections: [
            'auth_service:',
            '  enabled: no',
            'proxy_service:',
            '  enabled: no',
            'app_service:',
            '  enabled: yes',
            ...appLines.map((line) => `  ${line}`),
          ],
        }),
      )
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

interface ServiceOptions {
  readonly name: string
  readonly dir: string
  readonly env: Readonly<Record<string, string>>
  readonly join?: readonly string[]
  readonly sections: readonly string[]
}

async function startService({ name, dir, env, join: joinLines = [], sections }: ServiceOptions): Promise<Service> {
  const diagPort = await freePort()
  const configFile = join(dir, `${name}.yaml`)
  const dataDir = join(dir, name)
  const lines = [
    'version: v3',
    'teleport:',
    `  nodename: ${name}`,
    `  data_dir: ${dataDir}`,
    `  diag_addr: 127.0.0.1:${diagPort}`,
    ...joinLines,
    ...sections,
    'ssh_service:',
    '  enabled: no',
  ]
  writeFileSync(configFile, `${lines.join('\n')}\n`)
  const shell = openShell({ home: join(dir, `host-${name}`), env })
  let running: Running | undefined
  let printed = ''
  const service: Service = {
    configFile,
    dataDir,
    output: () => printed + (running?.output() ?? ''),
    pid: () => running?.pid ?? -1,
    async stop(signal) {
      const code = await running?.stop(signal)
      printed += running?.output() ?? ''
      running = undefined
      return code ?? null
    },
    async start() {
      running = shell.start(`teleport start -c ${configFile}`)
      await ready(diagPort, running)
    },
    async [Symbol.asyncDispose]() {
      await service.stop()
    },
  }
  await service.start()
  return service
}

/** Waits until `/readyz` of the diagnostics listener says so. */
async function ready(port: number, running: Running): Promise<void> {
  const deadline = Date.now() + 30_000
  while (Date.now() < deadline) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    if (answer?.ok === true) return
    if (!isAlive(running.pid)) throw new Error(`the service ended\n${running.output()}`)
    await wait(25)
  }
  throw new Error(`the service did not become ready\n${running.output()}`)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2] !== 'Z'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux'
  }
}

interface SignUp {
  readonly admin: Shell
  readonly shell: Shell
  readonly name: string
  readonly roles: readonly string[]
  readonly proxyAddr: string
  /** Empty where the proxy has a certificate that the workstation trusts. */
  readonly pin: string
}

async function signUp({ admin, shell, name, roles, proxyAddr, pin }: SignUp): Promise<Person> {
  const invite = await admin.run(`tctl users add ${quoted(name)} --roles=${roles.join(',')}`)
  const url = /https:\/\/\S+/.exec(invite.stdout)?.[0] ?? ''
  const pinFlag = pin === '' ? '' : ` --ca-pin=${pin}`
  const password = `correct horse ${name} staple`
  await using terminal = shell.start(`tsh signup${pinFlag} ${url}`)
  terminal.write(`${password}\n`)
  const [, secret = ''] = await terminal.waitFor(/secret[^A-Z2-7]*([A-Z2-7]{16,})/i)
  const authenticator = createAuthenticator(secret)
  terminal.write(`${authenticator.nextCode()}\n`)
  await terminal.waitFor(/has been set/i)
  return {
    name,
    password,
    authenticator,
    shell,
    async login(flags = '') {
      await shell.run(`tsh login --proxy=${proxyAddr} --user=${quoted(name)}${pinFlag} ${flags}`, {
        input: `${password}\n${authenticator.nextCode()}\n`,
      })
    },
  }
}

/** As one word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w.@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** A port that nobody listens on, below the range from which the kernel gives ports to connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}
