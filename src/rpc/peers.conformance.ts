/** A real server and its authorities, for the tests of this folder. */
import net from 'node:net'
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import { encodeHostSubject } from '#identity/encode.ts'
import type { UserIdentity } from '#identity/identity.ts'
import { silentLog } from '#log.ts'
import { issueCertificate, type Name, oids } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { callerOf } from './caller.ts'
import { type ClientCertificate, createRpcClient, type RpcConnection } from './client.ts'
import { startRpcServer } from './server.ts'

export const HOUR = 3_600_000
export const serverName = 'auth.rpc.example'

class TestAuthority {
  readonly name: Name
  readonly pem: string
  readonly #key = generateKeyPair()

  constructor(commonName: string) {
    this.name = [[oids.CN, commonName]]
    this.pem = issueCertificate({
      subject: this.name,
      publicKey: this.#key.publicKey,
      issuer: { name: this.name, privateKey: this.#key.privateKey },
      notBefore: new Date(Date.now() - HOUR),
      notAfter: new Date(Date.now() + 100 * HOUR),
      isCa: true,
      keyUsage: ['keyCertSign', 'cRLSign'],
    }).pem
  }

  issue(
    subject: Name,
    {
      ttlMs = HOUR,
      dnsNames,
      purposes = ['clientAuth'],
    }: { ttlMs?: number; dnsNames?: string[]; purposes?: ('clientAuth' | 'serverAuth')[] } = {},
  ): ClientCertificate {
    const { publicKey, privateKey } = generateKeyPair()
    const { pem } = issueCertificate({
      subject,
      publicKey,
      issuer: { name: this.name, privateKey: this.#key.privateKey, certificatePem: this.pem },
      notBefore: new Date(Date.now() - 2 * HOUR),
      notAfter: new Date(Date.now() + ttlMs),
      ...(dnsNames && { dnsNames }),
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: purposes,
    })
    return { cert: pem, key: privateKeyPem(privateKey) }
  }
}

export const users = new TestAuthority('users')
export const hosts = new TestAuthority('hosts')
export const strangers = new TestAuthority('users')

export const alice: UserIdentity = {
  kind: 'user',
  name: 'alice',
  roles: ['access'],
  traits: {},
  cluster: 'example',
  expires: new Date(Date.now() + HOUR),
  awsRoleArns: [],
  azureIdentities: [],
  kubeUsers: [],
  kubeGroups: [],
  userType: 'local',
  accessRequests: [],
  isRenewable: false,
  disallowReissue: false,
}
export const agentSubject = encodeHostSubject({
  kind: 'host',
  hostId: '11111111-2222-3333-4444-555555555555',
  nodeName: 'agent',
  roles: ['App'],
  cluster: 'example',
  expires: new Date(Date.now() + HOUR),
})

const whoAmI = (_: unknown, context: HandlerContext) => {
  const caller = callerOf(context)
  const roles = caller.kind === 'anonymous' ? [] : caller.identity.roles
  return { name: caller.kind === 'user' ? caller.identity.name : caller.kind, roles: [...roles] }
}

/** Starts a server with these routes; disposing it ends its clients too. */
export async function start(
  routes: (router: ConnectRouter) => void = (router) => router.service(ClusterService, { whoAmI }),
) {
  const trusted = { user: [users.pem], host: [hosts.pem] }
  let presented = hosts.issue([[oids.CN, 'auth']], { dnsNames: [serverName], purposes: ['serverAuth'] })
  let now = new Date()
  const server = await startRpcServer({
    host: '127.0.0.1',
    port: 0,
    certificate: () => presented,
    clientAuthorities: () => trusted,
    router: routes,
    log: silentLog,
    clock: () => now,
  })
  const connections: RpcConnection[] = []
  return {
    server,
    trusted,
    dials: 0,
    present: (certificate: ClientCertificate) => {
      presented = certificate
    },
    pass: (ms: number) => {
      now = new Date(now.getTime() + ms)
    },
    connect(certificate?: ClientCertificate, roots = [hosts.pem]): RpcConnection {
      const connection = createRpcClient({
        serverName,
        hostAuthorities: roots,
        ...(certificate && { certificate }),
        dial: async () => {
          this.dials++
          return net.connect(server.port, '127.0.0.1')
        },
      })
      connections.push(connection)
      return connection
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) await connection[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}
