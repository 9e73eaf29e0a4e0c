/** Both ends of a tunnel on loopback, and certificates of every kind, for the tests of this folder. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import type { CaSigner } from '#ca/authorities.ts'
import { issueHostCertificate } from '#ca/issue-host.ts'
import { issueUserCertificate } from '#ca/issue-user.ts'
import type { SystemRole } from '#identity/identity.ts'
import { silentLog } from '#log.ts'
import { listen } from '#net/listen.ts'
import { issueCertificate, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { type AgentTunnels, type OpenTunnelsOptions, openTunnels, type TunnelIdentity } from './agent-end.ts'
import { type AcceptTunnelOptions, acceptTunnel } from './proxy-end.ts'
import { createTunnelRegistry } from './registry.ts'

export const cluster = 'example.com'
export const hour = 3_600_000

export function createCa(): CaSigner {
  const { privateKey, publicKey } = generateKeyPair()
  const name = [[oids.O, cluster]] as const
  const notAfter = new Date(Date.now() + 10 * hour)
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date(Date.now() - hour),
    notAfter,
    isCa: true,
    keyUsage: ['keyCertSign'],
  })
  return { certificatePem: pem, name, privateKey, notAfter }
}

export const hostCa = createCa()

export function member(
  role: SystemRole,
  { ca = hostCa, ttlMs = hour, of = cluster } = {},
): TunnelIdentity & { hostId: string } {
  const { privateKey, publicKey } = generateKeyPair()
  const hostId = randomUUID()
  const expires = new Date(Date.now() + ttlMs)
  const identity = { kind: 'host', hostId, nodeName: 'host', roles: [role], cluster: of, expires } as const
  const { pem } = issueHostCertificate(ca, identity, publicKey, new Date())
  return {
    hostId,
    clusterName: cluster,
    certificatePem: pem,
    privateKeyPem: privateKeyPem(privateKey),
    hostAuthorities: [hostCa.certificatePem],
  }
}

/** A certificate of the user authority; here both authorities may be one and the same, to show that the subject counts too. */
export function user(ca: CaSigner): TunnelIdentity {
  const { privateKey, publicKey } = generateKeyPair()
  const { pem } = issueUserCertificate(
    ca,
    {
      kind: 'user',
      name: 'alice',
      roles: ['access'],
      traits: {},
      cluster,
      expires: new Date(Date.now() + hour),
      awsRoleArns: [],
      azureIdentities: [],
      kubeUsers: [],
      kubeGroups: [],
      userType: 'local',
      accessRequests: [],
      isRenewable: false,
      disallowReissue: false,
    },
    publicKey,
    new Date(),
  )
  return {
    clusterName: cluster,
    certificatePem: pem,
    privateKeyPem: privateKeyPem(privateKey),
    hostAuthorities: [hostCa.certificatePem],
  }
}

export async function startProxyEnd(options: Partial<AcceptTunnelOptions> & { port?: number } = {}) {
  const registry = createTunnelRegistry()
  const proxy = member('Proxy')
  const refusals: string[] = []
  const sockets = new Set<net.Socket>()
  const listener = await listen(
    { host: '127.0.0.1', port: options.port ?? 0, log: silentLog },
    async (socket, signal) => {
      sockets.add(socket)
      await acceptTunnel(socket, {
        certificate: proxy.certificatePem,
        key: proxy.privateKeyPem,
        hostAuthorities: () => [hostCa.certificatePem],
        cluster,
        registry,
        log: silentLog,
        signal,
        ...options,
      }).catch((error: Error) => void refusals.push(error.message))
      sockets.delete(socket)
    },
  )
  const { signal } = new AbortController()
  return {
    registry,
    refusals,
    sockets,
    port: listener.port,
    dial: (...hostIds: string[]) =>
      registry.dial(hostIds, { serverName: 'x.app.example.com', clientAddress: '192.0.2.1' }, signal),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
}

/** Tunnels to ports on loopback, and a way to wait for how many are open. */
export async function startAgentEnd(ports: readonly number[], options: Partial<OpenTunnelsOptions> = {}) {
  let changed = Promise.withResolvers<void>()
  const identity = member('App')
  const tunnels: AgentTunnels = await openTunnels({
    proxies: () => ports.map((port) => ({ host: '127.0.0.1', port })),
    dial: async (host, port) => {
      const socket = net.connect({ host, port, allowHalfOpen: true })
      await once(socket, 'connect')
      return socket
    },
    identity,
    serve: echo,
    log: silentLog,
    backoff: { stepMs: 10, maxMs: 20 },
    onChange: () => {
      changed.resolve()
      changed = Promise.withResolvers()
    },
    ...options,
  })
  return {
    tunnels,
    hostId: identity.hostId,
    async whenConnected(count: number) {
      while (tunnels.connected().length !== count) await changed.promise
    },
    [Symbol.asyncDispose]: () => tunnels[Symbol.asyncDispose](),
  }
}

export async function echo(stream: Duplex): Promise<void> {
  stream.on('data', (chunk) => {
    if (!stream.write(chunk)) stream.pause()
  })
  stream.on('drain', () => stream.resume())
  await once(stream, 'end')
  stream.end()
}

/** Sends, ends, and gives all that came back. */
export async function exchange(stream: Duplex, sent: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.end(sent)
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

/** Waits until the proxy knows the agent. */
export async function whenRegistered(proxy: { registry: { has(hostId: string): boolean } }, hostId: string, is = true) {
  while (proxy.registry.has(hostId) !== is) await new Promise(setImmediate)
}
