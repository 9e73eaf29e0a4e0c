/** Serves the requests inside intercepted connections: checks, forwards, and answers refusals as AWS would. */
import { randomUUID } from 'node:crypto'
import type http from 'node:http'
import { Readable } from 'node:stream'
import { awsErrorDocument, protocolOf } from '#aws/error-document.ts'
import { answerHeaders } from '#aws/forwarding.ts'
import { createSigningKeys, headerValues, type WireRequest } from '#aws/sigv4.ts'
import { InvalidAuthorization } from '#aws/sigv4-authorization.ts'
import { decodeChunks, InvalidChunk, type Trailer } from '#aws/sigv4-chunks.ts'
import { equal, InvalidSignature } from '#aws/sigv4-verify.ts'
import type { Clock } from '#clock.ts'
import { AccessError, InvalidInput, Unauthenticated, Unavailable } from '#errors.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import { ClientGone, forwardHttp, UpstreamFailed } from '#net/forward-http.ts'
import { filterHeaders } from '#net/raw-headers.ts'
import type { Secret } from '#secret.ts'
import {
  type AwsRequest,
  type BodyPlan,
  hasBody,
  headersForAgent,
  readAwsRequest,
  type SignedAwsRequest,
  UnknownAccessKey,
  verifyAwsRequest,
} from './aws-request.ts'
import { type IssuedKeys, isAssumedRoleId, type KeyHolder } from './issued-keys.ts'
import type { PlaceholderCredentials } from './placeholder-credentials.ts'
import { BodyTooLarge, type SpooledBody, spoolBody } from './spool.ts'

/** Something the user should read, beside what their AWS client shows. */
export interface Notice {
  readonly kind: 'error' | 'info'
  readonly app?: string
  readonly text: string
}

/** An app, its keys, and its connections. */
export interface AppSlot extends KeyHolder {
  readonly credentials: PlaceholderCredentials
  readonly agent: http.Agent
}

export interface ForwarderOptions {
  readonly slots: readonly AppSlot[]
  readonly issued: IssuedKeys<AppSlot>
  readonly egress: Egress
  readonly log: Log
  readonly clock: Clock
  readonly onNotice: (notice: Notice) => void
  readonly maxBodyBytes: number
  readonly signal: AbortSignal
}

/** The connection broke while the agent had the request: nobody here knows how far it came. */
class AgentLost extends Unavailable {
  constructor(app: string, cause: unknown) {
    super(`the connection to the agent of app ${JSON.stringify(app)} broke before AWS had answered`, {
      hint: 'try again; what changes something may have been done already, and the audit log says more',
      cause,
    })
  }
}

/** A body whose hash is not the stated one. */
class HashMismatch extends InvalidInput {}

/** Gives the request listener. It never rejects: what fails is answered, or the connection is closed. */
export function createAwsForwarder(
  options: ForwarderOptions,
): (request: http.IncomingMessage, response: http.ServerResponse) => void {
  const { log, onNotice } = options
  const signingKeys = createSigningKeys()
  const { issued } = options
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const wire = wireOf(request)
    const read = readAwsRequest(wire)
    if (read.kind === 'foreign') return passForeign(read, { request, response }, options)
    const { slot, secretAccessKey } = await findKey(read.signed, options)
    const check = { secretAccessKey, now: options.clock(), signingKeys }
    const { signed } = read
    await using job = await prepareBody(signed, { request, response, check, maxBytes: options.maxBodyBytes })
    await forwardHttp({
      request,
      response,
      target: { protocol: 'http:', agent: slot.agent, host: slot.name },
      headers: headersForAgent(signed, job),
      body: job.body,
      trailers: () => job.trailers().flat(),
      signal: options.signal,
      onResponse: (answer) => takeNotices(answer.rawHeaders, { slot, issued, onNotice }),
    }).catch((error: unknown) => {
      throw error instanceof UpstreamFailed ? new AgentLost(slot.name, error) : error
    })
  }
  return (request, response) => {
    serve(request, response).catch((error: unknown) => {
      if (error instanceof ClientGone || options.signal.aborted) return void response.destroy()
      log.debug('an AWS request failed', { error, host: request.headers.host, method: request.method })
      if (response.headersSent) response.destroy()
      else refuse(error, { request, response, onNotice })
    })
  }
}

interface Exchange {
  readonly request: http.IncomingMessage
  readonly response: http.ServerResponse
}

interface KeyOwner {
  readonly slot: AppSlot
  readonly secretAccessKey: Secret
}

/** The role was assumed too long ago, or for another login. Clients know by its code that they need new credentials. */
class AssumedRoleGone extends Unauthenticated {}

async function findKey(
  { authorization }: SignedAwsRequest,
  { slots, issued }: Pick<ForwarderOptions, 'slots' | 'issued'>,
): Promise<KeyOwner> {
  const { accessKeyId } = authorization
  const slot = slots.find(({ credentials }) => equal(credentials.accessKeyId, accessKeyId))
  if (slot !== undefined) return { slot, secretAccessKey: slot.credentials.secretAccessKey }
  const found = await issued.find(accessKeyId)
  if (found !== undefined) return { slot: found.holder, secretAccessKey: found.secretAccessKey }
  if (isAssumedRoleId(accessKeyId)) {
    throw new AssumedRoleGone('the credentials of this assumed role are not known to this proxy any more', {
      hint: 'assume the role again; what the AWS CLI keeps of it is in ~/.aws/cli/cache',
    })
  }
  throw new UnknownAccessKey(
    'AccessKeyID does not match: the request is signed with an access key that this proxy did not give out',
    {
      hint: 'export the variables that tsh printed anew, and look for keys in AWS_PROFILE, ~/.aws or the program itself',
    },
  )
}

interface PreparedBody extends AsyncDisposable {
  readonly body: Readable | undefined
  readonly payloadHash: string
  readonly spooledSize?: number
  readonly trailers: () => readonly Trailer[]
}

interface BodyJob extends Exchange {
  readonly check: Pick<Parameters<typeof verifyAwsRequest>[1], 'secretAccessKey' | 'now' | 'signingKeys'>
  readonly maxBytes: number
}

async function prepareBody(signed: SignedAwsRequest, job: BodyJob): Promise<PreparedBody> {
  const { plan } = signed
  switch (plan.kind) {
    case 'stream':
      verifyAwsRequest(signed, { ...job.check, payloadHash: plan.payloadHash })
      return {
        ...NOTHING_HELD,
        payloadHash: plan.payloadHash,
        body: hasBody(signed.wire.headers) ? job.request : undefined,
      }
    case 'chunks':
      return prepareChunks(signed, plan, job)
    case 'spool':
      return prepareSpool(signed, plan, job)
  }
}

const NOTHING_HELD = { trailers: (): readonly Trailer[] => [], async [Symbol.asyncDispose]() {} }

function prepareChunks(
  signed: SignedAwsRequest,
  plan: BodyPlan & { kind: 'chunks' },
  { request, check }: BodyJob,
): PreparedBody {
  const { payloadHash, trailerNames, decodedLength } = plan
  const seed = verifyAwsRequest(signed, { ...check, payloadHash })
  let trailers: readonly Trailer[] = []
  const decoded = decodeChunks(request, {
    seed,
    decodedLength,
    ...(trailerNames === undefined ? {} : { trailerNames }),
    onTrailers: (found) => {
      trailers = found
    },
  })
  return { ...NOTHING_HELD, payloadHash, body: Readable.from(decoded, { objectMode: false }), trailers: () => trailers }
}

async function prepareSpool(
  signed: SignedAwsRequest,
  { stated }: BodyPlan & { kind: 'spool' },
  { request, response, check, maxBytes }: BodyJob,
): Promise<PreparedBody> {
  // A signature over a stated hash is checked before anything is read: nobody else fills our disk.
  if (stated !== undefined) verifyAwsRequest(signed, { ...check, payloadHash: stated })
  if (Number(headerValues(signed.wire.headers, 'content-length')[0] ?? 0) > maxBytes) throw new BodyTooLarge(maxBytes)
  if (headerValues(signed.wire.headers, 'expect').length > 0) response.writeContinue()
  const spooled: SpooledBody = await spoolBody(request, { maxBytes })
  try {
    if (stated === undefined) verifyAwsRequest(signed, { ...check, payloadHash: spooled.hash })
    else if (!equal(stated, spooled.hash)) {
      throw new HashMismatch('the body does not have the hash that x-amz-content-sha256 states', {
        hint: 'send the request again',
      })
    }
  } catch (error) {
    await spooled[Symbol.asyncDispose]()
    throw error
  }
  return {
    body: spooled.open(),
    payloadHash: spooled.hash,
    spooledSize: spooled.size,
    trailers: () => [],
    [Symbol.asyncDispose]: () => spooled[Symbol.asyncDispose](),
  }
}

/** Needs nothing of ours: goes to AWS as it is, without the agents. */
async function passForeign(
  { foreign }: AwsRequest & { kind: 'foreign' },
  { request, response }: Exchange,
  { egress, signal }: ForwarderOptions,
): Promise<void> {
  await forwardHttp({
    request,
    response,
    target: { host: foreign.endpoint.host, port: 443, agent: egress.agent },
    headers: request.rawHeaders,
    body: hasBody(request.rawHeaders) ? request : undefined,
    signal,
  })
}

/** Reads what the agent says to us, and takes it out of the answer. */
function takeNotices(
  headers: readonly string[],
  { slot, issued, onNotice }: { slot: AppSlot; issued: IssuedKeys<AppSlot>; onNotice: (notice: Notice) => void },
): string[] {
  return filterHeaders(headers, (name, value) => {
    switch (name) {
      case answerHeaders.apiError:
        onNotice({ kind: 'error', app: slot.name, text: decodeText(value) })
        return false
      case answerHeaders.apiInfo:
        onNotice({ kind: 'info', app: slot.name, text: decodeText(value) })
        return false
      case answerHeaders.issuedKey:
        issued.add(value, slot)
        return false
      default:
        return !name.startsWith('x-teleport-')
    }
  })
}

function refuse(
  error: unknown,
  { request, response, onNotice }: Exchange & { onNotice: (notice: Notice) => void },
): void {
  const { status, code } = refusalOf(error)
  const text =
    error instanceof AccessError
      ? `${error.message} (${error.hint})`
      : 'the local proxy failed (run tsh with --debug to see why)'
  const { query } = wireOf(request)
  const service =
    /Credential=[^/]{0,128}\/\d{8}\/[^/]{0,64}\/([^/]{0,64})\//.exec(request.headers.authorization ?? '')?.[1] ??
    (query.includes('X-Amz-') ? 's3' : '')
  const document = awsErrorDocument({
    protocol: protocolOf(service, request.rawHeaders, query),
    code,
    message: text,
    requestId: randomUUID(),
  })
  onNotice({ kind: 'error', text })
  const headers = filterHeaders(document.headers, (name) => !name.startsWith('x-teleport-'))
  response.writeHead(status, [...headers, 'Connection', 'close'])
  response.end(request.method === 'HEAD' ? undefined : document.body)
  request.resume()
}

function refusalOf(error: unknown): { readonly status: number; readonly code: string } {
  if (error instanceof InvalidSignature) return { status: 403, code: 'SignatureDoesNotMatch' }
  if (error instanceof AssumedRoleGone) return { status: 403, code: 'ExpiredToken' }
  if (error instanceof UnknownAccessKey) return { status: 403, code: 'InvalidClientTokenId' }
  if (error instanceof InvalidAuthorization) return { status: 403, code: 'IncompleteSignature' }
  if (error instanceof HashMismatch) return { status: 400, code: 'XAmzContentSHA256Mismatch' }
  if (error instanceof InvalidChunk) return { status: 403, code: 'SignatureDoesNotMatch' }
  if (!(error instanceof AccessError)) return { status: 500, code: 'InternalError' }
  return STATUS[error.code]
}

const STATUS: Readonly<Record<AccessError['code'], { readonly status: number; readonly code: string }>> = {
  invalid: { status: 400, code: 'InvalidRequest' },
  unauthenticated: { status: 403, code: 'AccessDenied' },
  denied: { status: 403, code: 'AccessDenied' },
  'not-found': { status: 404, code: 'NotFound' },
  'already-exists': { status: 409, code: 'Conflict' },
  conflict: { status: 409, code: 'Conflict' },
  exhausted: { status: 413, code: 'EntityTooLarge' },
  unavailable: { status: 503, code: 'ServiceUnavailable' },
}

function wireOf({ method = '', url = '', rawHeaders }: http.IncomingMessage): WireRequest {
  const at = url.indexOf('?')
  const [path, query] = at === -1 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
  return { method, path, query, headers: rawHeaders }
}

/** One line of plain text: an agent cannot write to the user's terminal beyond it. */
function decodeText(value: string): string {
  let text = value
  try {
    text = decodeURIComponent(value)
  } catch {
    // not encoded: shown as it came
  }
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(0, 2000)
}
