import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { CaSigner } from '#ca/authorities.ts'
import { issueHostCertificate, issueServedNameCertificate } from '#ca/issue-host.ts'
import type { SystemRole } from '#identity/identity.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import type { TunnelIdentity } from '#tunnel/agent-end.ts'
import { type Bench, type BenchOptions, inTurns, type Metric } from './bench.ts'
import type { AgentSettings, ProxySettings } from './relay-part.ts'

/** Requests and bytes through router, splice, tunnel and TLS at the agent, against a relay of plain sockets in front of the same agent. */
export const bench: Bench = {
  name: 'relay',
  says: 'requests a second and MB/s through proxy and reverse tunnel, against a TCP relay in front of the same server',
  async run({ long, say }: BenchOptions) {
    await using stack = new AsyncDisposableStack()
    const cluster = createCluster()
    const agent = stack.use(startPart('agent', cluster.agentSettings))
    const { direct } = await agent.read<{ direct: number }>()
    const proxy = stack.use(startPart('proxy', { ...cluster.proxySettings, directPort: direct }))
    const { routed, spliced } = await proxy.read<{ routed: number; spliced: number }>()
    agent.write({ port: routed })
    await proxy.read()

    const nginx = await startNginx(direct, say)
    if (nginx) stack.use(nginx)
    const peer = nginx ?? { port: spliced, name: 'plain Node splice' }
    const seconds = long ? 10 : 3
    const pairs = long ? 5 : 3
    const megabytes = long ? 1024 : 512
    const load = isInstalled('wrk') ? requestsByWrk : requestsByNode
    const bulk = isInstalled('curl') ? bytesByCurl : bytesByNode
    if (load === requestsByNode)
      say('wrk is not installed: requests come from a Node client, which needs a core itself')
    if (bulk === bytesByNode) say('curl is not installed: bytes go to a Node client, which needs a core itself')

    const told = (what: string, unit: string, measure: () => Promise<number>) => async (): Promise<number> => {
      const value = await measure()
      say(`${what}: ${Math.round(value).toLocaleString('en')} ${unit}`)
      return value
    }
    await load(routed, 1) // warm
    const requests = await inTurns(
      pairs,
      told('tunnel', 'requests/s', () => load(routed, seconds)),
      told(peer.name, 'requests/s', () => load(peer.port, seconds)),
    )
    const bytes = await inTurns(
      pairs,
      told('tunnel', 'MB/s', () => bulk(routed, megabytes)),
      told(peer.name, 'MB/s', () => bulk(peer.port, megabytes)),
    )
    const metric = (
      name: string,
      unit: string,
      { value, ratio }: { value: number; ratio: number },
      reach: number,
    ): Metric => ({
      name,
      value: Math.round(value),
      unit,
      against: peer.name,
      ratio: Number(ratio.toFixed(2)),
      reach,
      met: ratio >= reach,
    })
    return {
      bench: 'relay',
      input: {
        connections: 16,
        seconds,
        megabytes,
        pairs,
        load: load === requestsByWrk ? 'wrk -t1 -c16' : 'node',
        bulk: bulk === bytesByCurl ? 'curl' : 'node',
      },
      metrics: [metric('requests', '1/s', requests, 0.9), metric('bulk', 'MB/s', bytes, 0.5)],
    }
  },
}

const clusterName = 'bench.example'

/** An authority, and who takes part. */
function createCluster(): {
  readonly agentSettings: AgentSettings
  readonly proxySettings: Omit<ProxySettings, 'directPort'>
} {
  const ca = createAuthority()
  const agentId = randomUUID()
  const served = generateKeyPair()
  const now = new Date()
  const { pem } = issueServedNameCertificate(ca, {
    serverName: 'app.example',
    publicKey: served.publicKey,
    now,
    ttlMs: HOUR_MS,
  })
  return {
    agentSettings: {
      identity: member(ca, 'App', agentId),
      certificatePem: pem,
      privateKeyPem: privateKeyPem(served.privateKey),
    },
    proxySettings: { identity: member(ca, 'Proxy', randomUUID()), agent: agentId },
  }
}

const HOUR_MS = 3_600_000

function createAuthority(): CaSigner {
  const { privateKey, publicKey } = generateKeyPair()
  const name = [[oids.O, clusterName]] as const
  const notAfter = new Date(Date.now() + 2 * HOUR_MS)
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter,
    isCa: true,
    keyUsage: ['keyCertSign'],
  })
  return { certificatePem: pem, name, privateKey, notAfter }
}

function member(ca: CaSigner, role: SystemRole, hostId: string): TunnelIdentity {
  const { privateKey, publicKey } = generateKeyPair()
  const expires = new Date(Date.now() + HOUR_MS)
  const identity = { kind: 'host', hostId, nodeName: role, roles: [role], cluster: clusterName, expires } as const
  const { pem } = issueHostCertificate(ca, identity, publicKey, new Date())
  return {
    clusterName,
    certificatePem: pem,
    privateKeyPem: privateKeyPem(privateKey),
    hostAuthorities: [ca.certificatePem],
  }
}

interface Part extends AsyncDisposable {
  read<T>(): Promise<T>
  write(value: object): void
}

/** A process of its own, so that each part has its share of the machine. */
function startPart(name: 'proxy' | 'agent', settings: object): Part {
  const script = new URL('./relay-part.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, name], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const write = (value: object): void => void child.stdin.write(`${JSON.stringify(value)}\n`)
  write(settings)
  return {
    async read<T>() {
      const { value, done } = await lines.next()
      if (done) throw new Error(`the ${name} ended`)
      return JSON.parse(value) as T // written by relay-part.ts
    },
    write,
    [Symbol.asyncDispose]: () => end(child),
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill()
  await exited
}

const isInstalled = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** One worker that relays TCP, as the reference of what can be had. */
async function startNginx(
  target: number,
  say: BenchOptions['say'],
): Promise<(AsyncDisposable & { port: number; name: string }) | undefined> {
  const modules = '/usr/lib/nginx/modules/ngx_stream_module.so'
  if (!isInstalled('nginx') || !existsSync(modules)) {
    say('nginx with its stream module is not installed: the peer is a plain Node splice of two sockets')
    return undefined
  }
  const dir = await mkdtemp(join(tmpdir(), 'relay-bench-'))
  const port = await freePort()
  await writeFile(
    join(dir, 'nginx.conf'),
    `load_module ${modules};
daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr crit;
events { worker_connections 1024; }
stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${target}; tcp_nodelay on; } }
`,
  )
  const child = spawn('nginx', ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'], { stdio: 'inherit' })
  while (!(await answers(port))) if (child.exitCode !== null) throw new Error('nginx did not start')
  return {
    port,
    name: 'nginx stream',
    async [Symbol.asyncDispose]() {
      await end(child)
      await rm(dir, { recursive: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo // TCP
  server.close()
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => setTimeout(resolve, 20, false))
  })
}

async function output(program: string, ...args: string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} ended with ${code}`)
  return text
}

async function requestsByWrk(port: number, seconds: number): Promise<number> {
  const text = await output('wrk', '-t1', '-c16', `-d${seconds}s`, `https://127.0.0.1:${port}/`)
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`requests failed:\n${text}`)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1])
}

async function requestsByNode(port: number, seconds: number): Promise<number> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 16, rejectUnauthorized: false })
  const until = performance.now() + seconds * 1000
  let count = 0
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      await get(port, '/', agent)
      count += 1
    }
  }
  await Promise.all(Array.from({ length: 16 }, loop))
  agent.destroy()
  return count / seconds
}

async function bytesByCurl(port: number, megabytes: number): Promise<number> {
  const url = `https://127.0.0.1:${port}/${megabytes * 1_000_000}`
  return Number(await output('curl', '-sk', '--http1.1', '-o', '/dev/null', '-w', '%{speed_download}', url)) / 1e6
}

async function bytesByNode(port: number, megabytes: number): Promise<number> {
  const began = performance.now()
  const agent = new https.Agent({ rejectUnauthorized: false })
  await get(port, `/${megabytes * 1_000_000}`, agent)
  agent.destroy()
  return (megabytes * 1000) / (performance.now() - began)
}

function get(port: number, path: string, agent: https.Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    https
      .get({ host: '127.0.0.1', port, path, agent }, (response) => {
        response.resume()
        response.on('end', resolve)
        response.on('error', reject)
      })
      .on('error', reject)
  })
}
