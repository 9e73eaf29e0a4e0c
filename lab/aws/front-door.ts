/** Where every AWS host name of the lab ends: find the service, check the signature, hand over, answer, remember. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import { AwsError } from './aws-error.ts'
import type { Answer, AwsService, Call, Caller } from './call.ts'
import type { AccessKeys } from './credentials.ts'
import { type Endpoint, findEndpoint } from './endpoint.ts'
import { errorDocument, hostId } from './error-document.ts'
import { type Fault, type Faults, paced } from './faults.ts'
import { payloadModeOf } from './payload-mode.ts'
import { parseForm } from './percent.ts'
import { contentHashMismatch } from './s3-payload.ts'
import { headerValues, parseClaim, sha256, verifyClaim, type WireRequest } from './signature.ts'
import { SignatureProblem, toAwsError } from './signature-problem.ts'
import { unknownService } from './unknown-service.ts'

/** What the lab remembers of a request. */
export interface SeenRequest {
  readonly at: Date
  readonly service: string
  /** `ListObjectsV2`; empty where the request has no known form. */
  readonly operation: string
  readonly region: string
  readonly host: string
  readonly method: string
  readonly path: string
  readonly query: string
  readonly accessKeyId: string | undefined
  /** ARN of the caller, once the signature was verified. */
  readonly principal: string | undefined
  /** `signed`, `UNSIGNED-PAYLOAD`, `STREAMING-…`, `none`. */
  readonly payloadMode: string
  readonly status: number
  /** Code of the error document. */
  readonly error: string | undefined
  /** Header names and values as they came, without `authorization` and tokens. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** What stands behind the door. */
export interface FrontDoorSettings {
  readonly services: readonly AwsService[]
  readonly keys: AccessKeys
  readonly clock: Clock
  readonly faults: Faults
  readonly seen: SeenRequest[]
  readonly log: Log
}

/** The most that a service without streaming takes, in bytes. */
const maxBodyBytes = 64 * 1024 * 1024

/** A body of so many bytes is read to its end though it was refused, so that the connection can go on. */
const drainedBytes = 1024 * 1024
/** At least this many requests are remembered. */
const keptRequests = 10_000

/** Answers requests for AWS host names. Clients that wait with `Expect: 100-continue` go on only when a body is read. */
export function openFrontDoor(settings: FrontDoorSettings): RequestListener {
  return (incoming, response) => {
    serve(settings, incoming, response).catch((error: unknown) => {
      settings.log.debug('a client went away', { error })
      response.destroy()
    })
  }
}

/** Facts that are learnt one after the other and all end up in `seen`. */
interface Progress {
  service: AwsService
  operation: string
  accessKeyId: string | undefined
  principal: string | undefined
  /** Struck this request. */
  fault: Fault | undefined
}

async function serve(settings: FrontDoorSettings, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { clock, log } = settings
  const request = wireRequest(incoming)
  response.setHeader('date', clock().toUTCString())
  const endpoint = findEndpoint((incoming.headers.host ?? '').replace(/:\d+$/, ''))
  if (!endpoint) {
    incoming.resume()
    response.writeHead(421, { 'content-type': 'text/plain' }).end('no AWS service has this host name\n')
    return
  }
  const requestId = randomUUID()
  const named = settings.services.find(({ name }) => name === endpoint.service)
  const service = named ?? unknownService(endpoint.service, request)
  const progress: Progress = {
    service,
    operation: '',
    accessKeyId: undefined,
    principal: undefined,
    fault: undefined,
  }
  let answer: Answer
  let code: string | undefined
  try {
    answer = await answerTo({ settings, request, endpoint, incoming, response, progress })
  } catch (error) {
    if (response.destroyed) return
    const refusal = error instanceof AwsError ? error : internalError(error, log)
    code = refusal.code
    const { protocol, namespace } = service
    const document = errorDocument(refusal, { protocol, requestId, namespace })
    answer = { status: refusal.status, headers: { ...document.headers, ...refusal.headers }, body: document.body }
  }
  remember(settings.seen, {
    at: clock(),
    service: endpoint.service,
    operation: progress.operation,
    region: endpoint.region,
    host: endpoint.host,
    method: request.method,
    path: request.path,
    query: request.query,
    accessKeyId: progress.accessKeyId,
    principal: progress.principal,
    payloadMode: payloadModeOf(request),
    status: answer.status,
    error: code,
    headers: request.headers.filter(([name]) => !/^(?:authorization|x-amz-security-token)$/i.test(name)),
  })
  const { fault } = progress
  await send({ answer, requestId, service, incoming, response, fault })
}

/** Keeps the newest, so that a lab under load does not grow without end. */
function remember(seen: SeenRequest[], request: SeenRequest): void {
  seen.push(request)
  if (seen.length >= 2 * keptRequests) seen.splice(0, keptRequests)
}

interface Serving {
  readonly settings: FrontDoorSettings
  readonly request: WireRequest
  readonly endpoint: Endpoint
  readonly incoming: IncomingMessage
  readonly response: ServerResponse
  readonly progress: Progress
}

async function answerTo(serving: Serving): Promise<Answer> {
  const { settings, request, endpoint, incoming, response, progress } = serving
  const { service } = progress
  const openBody = (): Readable => {
    if (/^100-continue$/i.test(incoming.headers.expect ?? '')) response.writeContinue()
    return incoming
  }
  const body = service.streams ? Buffer.alloc(0) : await readWhole(openBody())
  const operation = service.operationOf(request, endpoint, body)
  progress.operation = operation ?? ''
  const struck = { service: endpoint.service, operation: progress.operation }
  progress.fault = await settings.faults.strike(struck, response)
  const call = {
    endpoint,
    operation: progress.operation,
    request,
    headers: incoming.headers,
    now: settings.clock(),
    sourceIp: (incoming.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    body,
    openBody,
  } satisfies Omit<Call, 'caller'>
  const caller = authenticate(settings, call, progress)
  if (operation === undefined) throw unknownOperation(service)
  return await service.handle({ ...call, caller })
}

/** @throws {AwsError} in the words of the service */
function authenticate(settings: FrontDoorSettings, call: Omit<Call, 'caller'>, progress: Progress): Caller | undefined {
  const { service } = progress
  const { allowedSkewMs, wording } = service
  try {
    const claim = parseClaim(call.request)
    progress.accessKeyId = claim?.accessKeyId
    if (!claim) {
      if (service.streams || service.unsigned?.includes(call.operation)) return undefined
      throw new AwsError(
        'MissingAuthenticationToken',
        wording === 'json' ? 400 : 403,
        'Request is missing Authentication Token',
      )
    }
    const { endpoint, request } = call
    const isKnown = settings.services.includes(service)
    // The old name of S3 without a region serves buckets of every region: the bucket says which scope is right.
    // Of a service that the lab does not have, nobody here knows under which name and region it signs.
    const anyRegion = endpoint.global && (endpoint.service === 's3' || !isKnown)
    const payloadHash = service.streams ? streamedPayloadHash(request, claim.form) : sha256(call.body)
    const signature = verifyClaim(claim, {
      request,
      payloadHash,
      findKey: (id) => settings.keys.find(id),
      region: anyRegion ? claim.region : endpoint.region,
      service: isKnown ? endpoint.service : claim.service,
      now: call.now,
      allowedSkewMs,
    })
    progress.principal = signature.key.principal.arn
    return { key: signature.key, principal: signature.key.principal, signature }
  } catch (error) {
    if (!(error instanceof SignatureProblem)) throw error
    throw toAwsError(error, { wording, allowedSkewMs, now: call.now, accessKeyId: progress.accessKeyId ?? '' })
  }
}

/** S3 states its hash or mode in a header, a presigned request in its query; without one that is unsigned. */
function streamedPayloadHash(request: WireRequest, form: 'header' | 'query'): string {
  const [hash] = headerValues(request, 'x-amz-content-sha256')
  const hasBody = ['content-length', 'transfer-encoding'].some(
    (name) => !['0', undefined].includes(headerValues(request, name)[0]),
  )
  if (!hasBody && hash !== undefined && /^[0-9a-f]{64}$/.test(hash) && hash !== sha256('')) {
    throw contentHashMismatch(hash, sha256(''))
  }
  if (hash !== undefined) return hash
  if (form === 'query') return parseForm(request.query).get('X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD'
  throw new AwsError('InvalidRequest', 400, 'Missing required header for this request: x-amz-content-sha256')
}

function unknownOperation(service: AwsService): AwsError {
  if (service.protocol === 'query' || service.protocol === 'ec2') {
    return new AwsError(
      'InvalidAction',
      400,
      'The action or operation requested is invalid. Verify that the action is typed correctly.',
    )
  }
  if (service.protocol === 'rest-xml') {
    return new AwsError(
      'NotImplemented',
      501,
      'A header or query you provided implies functionality that is not implemented.',
    )
  }
  return new AwsError('UnknownOperationException', 400, 'The operation is not known to this service.')
}

function internalError(error: unknown, log: Log): AwsError {
  log.error('the lab failed', { error })
  return new AwsError('InternalError', 500, 'We encountered an internal error. Please try again.')
}

async function readWhole(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBodyBytes) throw new AwsError('RequestEntityTooLarge', 413, 'Request size exceeded the limit.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

interface Sending {
  readonly answer: Answer
  readonly requestId: string
  readonly service: AwsService
  readonly incoming: IncomingMessage
  readonly response: ServerResponse
  readonly fault: Fault | undefined
}

async function send(sending: Sending): Promise<void> {
  const { answer, requestId, service, incoming, response, fault } = sending
  const ids: Record<string, string> =
    service.protocol === 'rest-xml'
      ? { 'x-amz-request-id': requestId, 'x-amz-id-2': hostId }
      : { 'x-amzn-requestid': requestId }
  const headers: Record<string, string> = { ...ids, ...answer.headers }
  // A long body that was refused before it was read is not worth waiting for; a short one is read and forgotten.
  const isLong =
    incoming.headers['content-length'] === undefined || Number(incoming.headers['content-length']) > drainedBytes
  if (!incoming.complete && isLong && hasBody(incoming)) headers.connection = 'close'
  const { body } = answer
  if (fault?.cutAfterBytes !== undefined) return cutOff(response, sending, { ...headers, ...lengthOf(body) })
  if (body instanceof Readable) {
    response.writeHead(answer.status, headers)
    if (incoming.method === 'HEAD') {
      body.destroy()
      response.end()
    } else if (fault?.bytesPerSecond !== undefined) await pipeline(body, paced(fault.bytesPerSecond), response)
    else await pipeline(body, response)
    return
  }
  const noBody = incoming.method === 'HEAD' || answer.status === 204 || answer.status === 304
  if (!noBody) headers['content-length'] ??= String(Buffer.byteLength(body ?? ''))
  response.writeHead(answer.status, headers).end(noBody ? undefined : body)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined
}

/** The length that an answer states, when it does not do so itself. */
function lengthOf(body: Answer['body']): Record<string, string> {
  return body instanceof Readable ? {} : { 'content-length': String(Buffer.byteLength(body ?? '')) }
}

async function cutOff(
  response: ServerResponse,
  { answer, fault }: Sending,
  headers: Record<string, string>,
): Promise<void> {
  response.writeHead(answer.status, headers)
  let left = fault?.cutAfterBytes ?? 0
  const body = answer.body instanceof Readable ? answer.body : Readable.from([Buffer.from(answer.body ?? '')])
  for await (const chunk of body) {
    const part: Buffer = chunk.subarray(0, left)
    left -= part.length
    await new Promise<void>((resolve) => response.write(part, () => resolve()))
    if (left === 0) break
  }
  response.destroy()
}

function wireRequest(incoming: IncomingMessage): WireRequest {
  const target = incoming.url ?? '/'
  const mark = target.indexOf('?')
  const headers: (readonly [string, string])[] = []
  for (let at = 0; at + 1 < incoming.rawHeaders.length; at += 2) {
    const name = incoming.rawHeaders[at] ?? ''
    // The front of AWS consumes these, so that a signature over them never matches.
    if (!/^(?:connection|expect|te)$/i.test(name)) headers.push([name, incoming.rawHeaders[at + 1] ?? ''])
  }
  return {
    method: incoming.method ?? 'GET',
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
    headers,
  }
}
