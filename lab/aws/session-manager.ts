/**
 * Sessions through message channels: `ssm:StartSession` and `ecs:ExecuteCommand` give a WebSocket URL and a token, and
 * the channel sends back what it gets.
 *
 * @see AWS Systems Manager API Reference "StartSession"; Amazon ECS API Reference "ExecuteCommand"
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { AwsError } from './aws-error.ts'
import type { AwsService } from './call.ts'
import { type JsonCall, type JsonObject, jsonService, textField } from './json-service.ts'
import { acceptOf, frame, framesOf, opcodes } from './web-socket.ts'

/** A session that somebody started. */
export interface ManagedSession {
  readonly id: string
  /** `i-0123…`, or the runtime of a container: `ecs:demo_task_runtime`. */
  readonly target: string
  /** ARN of who started it. */
  readonly principal: string
  /** How its data channel was opened, once it was. */
  channel?: { readonly host: string; readonly headers: IncomingMessage['headers'] }
}

/** The services, and what answers on the message hosts. */
export interface SessionManager {
  readonly services: readonly AwsService[]
  readonly sessions: readonly ManagedSession[]
  /** A request to upgrade to a WebSocket, whose signature nobody looks at: the token comes in its first message. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

/** StartSession and TerminateSession; DescribeTasks and ExecuteCommand of one task that is always there. */
export function sessionManager(): SessionManager {
  const sessions: ManagedSession[] = []
  const tokens = new Map<string, string>()
  const start = (json: JsonCall, target: string): { id: string; url: string; token: string } => {
    const { endpoint, caller } = json.call
    const id = `${caller?.principal.arn.split('/').at(-1) ?? 'nobody'}-${randomUUID()}`
    const token = randomBytes(48).toString('base64')
    sessions.push({ id, target, principal: caller?.principal.arn ?? '' })
    tokens.set(id, token)
    const service = endpoint.host.includes('-fips.') ? 'ssmmessages-fips' : 'ssmmessages'
    const url = `wss://${service}.${endpoint.region}.amazonaws.com/v1/data-channel/${id}?role=publish_subscribe`
    return { id, url, token }
  }
  return {
    sessions,
    services: [ssm(start, tokens), ecs(start)],
    upgrade(request, socket, head) {
      socket.on('error', () => {}) // a client that goes is no failure
      if (head.length > 0) socket.unshift(head)
      const id = /^\/v1\/data-channel\/([^/?]+)\?role=publish_subscribe$/.exec(request.url ?? '')?.[1]
      const session = sessions.find((each) => each.id === id)
      const key = request.headers['sec-websocket-key']
      const host = request.headers.host ?? ''
      if (session === undefined || key === undefined || !/(^|\.)ssmmessages(-fips)?\./.test(host)) {
        socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
        return
      }
      session.channel = { host, headers: request.headers }
      const accept = `Sec-WebSocket-Accept: ${acceptOf(key)}`
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${accept}\r\n\r\n`)
      echo(socket, tokens.get(session.id)).catch(() => socket.destroy())
    },
  }
}

type Start = (json: JsonCall, target: string) => { readonly id: string; readonly url: string; readonly token: string }

function ssm(start: Start, tokens: Map<string, string>): AwsService {
  const arn = ({ call, accountId }: JsonCall, service: string, resource: string): string =>
    `arn:${call.endpoint.partition}:${service}:${call.endpoint.region}:${accountId}:${resource}`
  return jsonService({
    name: 'ssm',
    target: 'AmazonSSM',
    version: '1.1',
    namespace: '',
    operations: {
      StartSession: {
        resource: (json) => arn(json, 'ec2', `instance/${textField(json.input, 'Target')}`),
        run(json) {
          const { id, url, token } = start(json, textField(json.input, 'Target'))
          return { SessionId: id, StreamUrl: url, TokenValue: token }
        },
      },
      TerminateSession: {
        resource: (json) => arn(json, 'ssm', `session/${textField(json.input, 'SessionId')}`),
        run({ input }) {
          const id = textField(input, 'SessionId')
          if (!tokens.delete(id)) throw new AwsError('DoesNotExistException', 400, `Session ${id} does not exist`)
          return { SessionId: id }
        },
      },
    },
  })
}

function ecs(start: Start): AwsService {
  const of = ({ call, accountId, input }: JsonCall, kind: string, id: string): string =>
    `arn:${call.endpoint.partition}:ecs:${call.endpoint.region}:${accountId}:${kind}/${String(input.cluster ?? 'default')}/${id}`
  const container = (json: JsonCall): JsonObject => ({
    containerArn: of(json, 'container', 'demo'),
    name: 'demo',
    runtimeId: 'demo-runtime',
    lastStatus: 'RUNNING',
  })
  return jsonService({
    name: 'ecs',
    target: 'AmazonEC2ContainerServiceV20141113',
    version: '1.1',
    namespace: '',
    operations: {
      DescribeTasks: {
        resource: (json) => of(json, 'task', '*'),
        run: (json) => {
          const tasks = Array.isArray(json.input.tasks) ? json.input.tasks : []
          return {
            tasks: tasks.map((task) => ({ taskArn: String(task), containers: [container(json)] })),
            failures: [],
          }
        },
      },
      ExecuteCommand: {
        resource: (json) => of(json, 'task', textField(json.input, 'task')),
        run(json) {
          const { id, url, token } = start(json, `ecs:${textField(json.input, 'task')}_demo-runtime`)
          const { containerArn, name } = container(json)
          return {
            clusterArn: of(json, 'cluster', '').slice(0, -1),
            containerArn,
            containerName: name,
            interactive: true,
            session: { sessionId: id, streamUrl: url, tokenValue: token },
            taskArn: of(json, 'task', textField(json.input, 'task')),
          }
        },
      },
    },
  })
}

/** The first message has to hold the token; what comes after it goes back, with the length of each message before it. */
async function echo(socket: Duplex, token: string | undefined): Promise<void> {
  let isOpen = false
  for await (const { opcode, payload } of framesOf(socket)) {
    if (opcode === opcodes.close) break
    if (!isOpen) {
      const hello: { TokenValue?: unknown } = JSON.parse(payload.toString('utf8'))
      if (opcode !== opcodes.text || token === undefined || hello.TokenValue !== token) break
      isOpen = true
    } else if (opcode === opcodes.binary) {
      socket.write(frame(opcodes.binary, Buffer.concat([Buffer.from(`${payload.length}:`), payload])))
    }
  }
  socket.end(frame(opcodes.close, Buffer.from([3, isOpen ? 232 : 240]))) // 1000, 1008: RFC 6455 §7.4.1
}
