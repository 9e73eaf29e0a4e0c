/**
 * Stands where the Session Manager plug-in of the AWS CLI is: opens the WebSocket of a session, through `HTTPS_PROXY`, and
 * trusts what the machine trusts. Like the real one it does not look at `AWS_CA_BUNDLE`, and signs nothing.
 *
 * Arguments: the answer of StartSession as JSON (or, from newer versions of the CLI, the name of the variable that holds
 * it), the region, `StartSession`. Each line of input is a message; what comes back is printed.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import tls from 'node:tls'
import { acceptOf, frame, framesOf, opcodes } from '#lab/aws/web-socket.ts'

const { argv, env } = process
if (argv[2] === undefined || argv[2] === '--version') {
  console.log('1.2.764.0') // the CLI looks first whether it is there
  process.exit()
}
const given = argv[2]
const fields: Record<string, string> = JSON.parse(given.startsWith('{') ? given : (env[given] ?? ''))
/** ECS writes its first letters small; Go, in which the real one is written, does not mind. */
const field = (name: string): string => fields[name] ?? fields[name.charAt(0).toLowerCase() + name.slice(1)] ?? ''
const answer = { StreamUrl: field('StreamUrl'), TokenValue: field('TokenValue'), SessionId: field('SessionId') }
const url = new URL(answer.StreamUrl)
const proxy = new URL(env.HTTPS_PROXY ?? '')

const request = http.request({
  host: proxy.hostname,
  port: proxy.port,
  method: 'CONNECT',
  path: `${url.hostname}:443`,
})
request.end()
const [response, tunnel] = (await once(request, 'connect')) as [http.IncomingMessage, Socket] // node:http, event "connect"
if (response.statusCode !== 200) throw new Error(`the proxy answered ${response.statusCode}`)
const socket = tls.connect({
  socket: tunnel,
  servername: url.hostname,
  ca: readFileSync(env.SESSION_PLUGIN_ROOTS ?? ''),
})
await once(socket, 'secureConnect')

const key = randomBytes(16).toString('base64')
const upgrade = `Host: ${url.hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13`
socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\n${upgrade}\r\nSec-WebSocket-Key: ${key}\r\n\r\n`)
let head = Buffer.alloc(0)
while (!head.includes('\r\n\r\n')) head = Buffer.concat([head, ...(await once(socket, 'data'))])
socket.pause()
const end = head.indexOf('\r\n\r\n') + 4
if (!head.toString('latin1', 0, end).includes(acceptOf(key))) throw new Error(head.toString('latin1', 0, end))
if (head.length > end) socket.unshift(head.subarray(end))

console.log(`\nStarting session with SessionId: ${answer.SessionId}`)
socket.write(frame(opcodes.text, JSON.stringify({ TokenValue: answer.TokenValue }), { masked: true }))
const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => socket.write(frame(opcodes.binary, line, { masked: true })))
lines.on('close', () => socket.write(frame(opcodes.close, '', { masked: true })))
for await (const { opcode, payload } of framesOf(socket)) {
  if (opcode === opcodes.close) {
    process.exitCode = payload.readUInt16BE(0) === 1000 ? 0 : 1
    break
  }
  console.log(payload.toString('utf8'))
}
console.log(`\nExiting session with sessionId: ${answer.SessionId}.`)
process.exit()
