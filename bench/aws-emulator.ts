/**
 * The AWS of the benchmarks, a process of its own: an egress proxy with S3 and STS that check nothing, so that they take
 * as little as they can. `GET /bucket/N` gives N bytes; a PUT is read to its end.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { systemClock } from '#clock.ts'
import { createLabAuthority } from '#lab/authority.ts'
import { startEgress } from '#lab/egress.ts'
import { silentLog } from '#log.ts'

const block = randomBytes(256 * 1024)

function serve(request: IncomingMessage, response: ServerResponse): void {
  if (request.headers.expect !== undefined) response.writeContinue()
  if (request.method === 'GET') {
    sendObject(Number(request.url?.split('/')[2]), response)
    return
  }
  request.resume()
  request.once('end', () => (request.headers.host?.startsWith('sts.') ? assumeRole(response) : stored(response)))
}

function sendObject(bytes: number, response: ServerResponse): void {
  let left = bytes
  response.writeHead(200, { 'Content-Type': 'binary/octet-stream', 'Content-Length': left, ETag: '"bench"' })
  const more = (): void => {
    while (left > 0) {
      const chunk = left < block.length ? block.subarray(0, left) : block
      left -= chunk.length
      if (left === 0) response.end(chunk)
      else if (!response.write(chunk)) return
    }
  }
  response.on('drain', more)
  more()
}

function stored(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Length': 0, ETag: '"bench"' }).end()
}

/** STS API reference, AssumeRole. */
function assumeRole(response: ServerResponse): void {
  const expires = new Date(Date.now() + 3_600_000).toISOString()
  const secret = randomBytes(30).toString('base64')
  const body = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROABENCH:alice</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/Bench/alice</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIABENCHBENCHBENCH0</AccessKeyId><SecretAccessKey>${secret}</SecretAccessKey><SessionToken>${randomBytes(600).toString('base64')}</SessionToken><Expiration>${expires}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
  response.writeHead(200, { 'Content-Type': 'text/xml', 'Content-Length': Buffer.byteLength(body) }).end(body)
}

const egress = await startEgress({
  routes: [{ name: 'aws', answers: (host) => host.endsWith('.amazonaws.com'), serve }],
  authority: createLabAuthority(systemClock),
  log: silentLog,
})
console.log(JSON.stringify({ url: egress.url, caPem: egress.caPem }))
process.stdin.resume().once('end', () => process.exit()) // until whoever started this goes
