/**
 * The client of the AWS benchmarks, a process of its own. It reads orders as lines of JSON and prints what came of each:
 * calls at a fixed rate, calls as fast as they go, or one transfer.
 */
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { signRequest, unsignedPayload } from '#aws/sigv4.ts'
import {
  encodeChunks,
  encodedLength,
  streamingPayload,
  streamingPayloadTrailer,
  streamingUnsignedTrailer,
} from '#aws/sigv4-chunks.ts'
import { Secret } from '#secret.ts'
import { type AwsConnection, type AwsWay, connectToAws } from './aws-connection.ts'
import { quantile } from './bench.ts'

export type LoadOrder = { readonly way: AwsWay } & (
  | { readonly kind: 'rate'; readonly rate: number; readonly seconds: number; readonly connections: number }
  | { readonly kind: 'flat-out'; readonly seconds: number; readonly connections: number }
  | { readonly kind: 'transfer'; readonly mode: TransferMode; readonly bytes: number }
)

/** `download`, or how the body of an upload is signed. */
export type TransferMode =
  | 'download'
  | 'signed-hash'
  | 'unsigned'
  | 'signed-chunks'
  | 'signed-chunks-trailer'
  | 'unsigned-trailer'

/** Of a fixed rate. Latencies count from when a call was due, so that one that waits for a late one is late too. */
export interface RateResult {
  /** Nothing piles up: 99 of 100 calls were answered within 250 ms of when they were due. */
  readonly isHeld: boolean
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface FlatOutResult {
  readonly perSecond: number
}

export interface TransferResult {
  readonly ms: number
}

const host = 's3.us-east-1.amazonaws.com'
const OBJECT_BYTES = 1024
const HELD_MS = 250

/** Connections are kept between orders, as an SDK keeps them. */
const pools = new Map<string, AwsConnection[]>()

async function connectionsOf(way: AwsWay, count: number): Promise<readonly AwsConnection[]> {
  const pool = pools.get(way.proxyUrl) ?? []
  pools.set(way.proxyUrl, pool)
  while (pool.length < count) pool.push(await connectToAws(way, host))
  return pool.slice(0, count)
}

/** The head of a small GET, signed once for each second: a signature has no finer time, and the client is not what is measured. */
function headsOf(way: AwsWay): () => string {
  let second = 0
  let head = ''
  const hash = createHash('sha256').digest('hex')
  return () => {
    const now = Date.now()
    if (Math.floor(now / 1000) !== second) {
      second = Math.floor(now / 1000)
      head = headOf(way, { method: 'GET', path: `/bench/${OBJECT_BYTES}`, payloadHash: hash }).head
    }
    return head
  }
}

interface CallHead {
  readonly method: string
  readonly path: string
  readonly payloadHash: string
  readonly headers?: readonly string[]
}

function headOf(way: AwsWay, { method, path, payloadHash, headers = [] }: CallHead) {
  const request = {
    method,
    path,
    query: '',
    headers: ['Host', host, 'Accept-Encoding', 'identity', 'User-Agent', 'bench', ...headers],
  }
  const credentials = { accessKeyId: way.accessKeyId, secretAccessKey: new Secret(way.secretAccessKey) }
  const { headers: signed, seed } = signRequest({
    request,
    credentials,
    region: 'us-east-1',
    service: 's3',
    at: new Date(),
    payloadHash,
  })
  let head = `${method} ${path} HTTP/1.1\r\n`
  for (let index = 0; index < signed.length; index += 2) head += `${signed[index]}: ${signed[index + 1]}\r\n`
  return { head: `${head}\r\n`, seed }
}

/** Sends calls when they are due, whatever became of those before. */
async function atRate({ way, rate, seconds, connections }: LoadOrder & { kind: 'rate' }): Promise<RateResult> {
  const free = [...(await connectionsOf(way, connections))]
  const head = headsOf(way)
  const count = Math.round(rate * seconds)
  const latencies: number[] = []
  const waiting: number[] = []
  const over = Promise.withResolvers<void>()
  const began = performance.now() + 20
  const dueAt = (index: number): number => began + (index * 1000) / rate
  const send = (index: number, connection: AwsConnection): void => {
    connection.call(head()).then(() => {
      latencies.push(performance.now() - dueAt(index))
      const next = waiting.shift()
      if (next !== undefined) send(next, connection)
      else free.push(connection)
      if (latencies.length === count) over.resolve()
    }, over.reject)
  }
  let next = 0
  const tick = (): void => {
    const now = performance.now()
    for (; next < count && dueAt(next) <= now; next++) {
      const connection = free.pop()
      if (connection === undefined) waiting.push(next)
      else send(next, connection)
    }
    if (next < count) setTimeout(tick, Math.max(0, dueAt(next) - performance.now()))
  }
  tick()
  await over.promise
  const tookMs = performance.now() - began
  return {
    isHeld: quantile(latencies, 0.99) < HELD_MS,
    perSecond: (count * 1000) / tookMs,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
  }
}

async function flatOut({ way, seconds, connections }: LoadOrder & { kind: 'flat-out' }): Promise<FlatOutResult> {
  const head = headsOf(way)
  const all = await connectionsOf(way, connections)
  const began = performance.now()
  const until = began + seconds * 1000
  let count = 0
  const loop = async (connection: AwsConnection): Promise<void> => {
    while (performance.now() < until) {
      await connection.call(head())
      count++
    }
  }
  await Promise.all(all.map(loop))
  return { perSecond: (count * 1000) / (performance.now() - began) }
}

async function transfer({ way, mode, bytes }: LoadOrder & { kind: 'transfer' }): Promise<TransferResult> {
  const [connection] = await connectionsOf(way, 1)
  if (connection === undefined) throw new Error('no connection')
  const { head, body } = mode === 'download' ? download(way, bytes) : upload(way, mode, bytes)
  const began = performance.now()
  const received = await connection.call(head, body)
  if (mode === 'download' && received !== bytes) throw new Error(`${received} of ${bytes} bytes came`)
  return { ms: performance.now() - began }
}

interface Transfer {
  readonly head: string
  readonly body: AsyncIterable<Uint8Array> | undefined
}

function download(way: AwsWay, bytes: number): Transfer {
  const payloadHash = createHash('sha256').digest('hex')
  return { head: headOf(way, { method: 'GET', path: `/bench/${bytes}`, payloadHash }).head, body: undefined }
}

const block = Buffer.alloc(64 * 1024, 'x')
const checksum = 'x-amz-checksum-crc32'

async function* content(bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block
}

function upload(way: AwsWay, mode: Exclude<TransferMode, 'download'>, bytes: number): Transfer {
  const put = { method: 'PUT', path: '/bench/upload' }
  const decoded = ['X-Amz-Decoded-Content-Length', String(bytes), 'Content-Encoding', 'aws-chunked']
  const length = (count: number | undefined): string[] => ['Content-Length', String(count)]
  switch (mode) {
    case 'signed-hash': // the emulator does not look, and hashing is the client's own work in either way
      return {
        head: headOf(way, { ...put, payloadHash: 'a'.repeat(64), headers: length(bytes) }).head,
        body: content(bytes),
      }
    case 'unsigned':
      return {
        head: headOf(way, { ...put, payloadHash: unsignedPayload, headers: length(bytes) }).head,
        body: content(bytes),
      }
    case 'signed-chunks': {
      const headers = [...decoded, ...length(encodedLength(bytes))]
      const { head, seed } = headOf(way, { ...put, payloadHash: streamingPayload, headers })
      return { head, body: encodeChunks(content(bytes), { seed }) }
    }
    case 'signed-chunks-trailer': {
      const headers = [
        ...decoded,
        'X-Amz-Trailer',
        checksum,
        ...length(encodedLength(bytes, { trailerNames: [checksum] })),
      ]
      const { head, seed } = headOf(way, { ...put, payloadHash: streamingPayloadTrailer, headers })
      return { head, body: encodeChunks(content(bytes), { seed, trailers: () => [[checksum, 'AAAAAA==']] }) }
    }
    case 'unsigned-trailer': {
      const framed = unsignedChunks(bytes)
      const headers = [...decoded, 'X-Amz-Trailer', checksum, ...length(framed.length)]
      return { head: headOf(way, { ...put, payloadHash: streamingUnsignedTrailer, headers }).head, body: framed.body }
    }
  }
}

/** Amazon S3 API reference, "Signature calculations for trailing headers". */
function unsignedChunks(bytes: number): { length: number; body: AsyncIterable<Buffer> } {
  const size = Buffer.from(`${block.length.toString(16)}\r\n`)
  const chunk = Buffer.concat([size, block, Buffer.from('\r\n')])
  const end = Buffer.from(`0\r\n${checksum}:AAAAAA==\r\n\r\n`)
  const count = Math.floor(bytes / block.length) // benchmarks send whole blocks
  async function* body(): AsyncGenerator<Buffer> {
    for (let index = 0; index < count; index++) yield chunk
    yield end
  }
  return { length: count * chunk.length + end.length, body: body() }
}

function obey(order: LoadOrder): Promise<object> {
  switch (order.kind) {
    case 'rate':
      return atRate(order)
    case 'flat-out':
      return flatOut(order)
    case 'transfer':
      return transfer(order)
  }
}

console.log('{}')
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await obey(JSON.parse(line) as LoadOrder))) // written by the benchmark
}
process.exit()
