/**
 * The signing proxy for AWS: takes a request that was signed with placeholders, decides nothing more about it, signs it
 * with the credentials of the role in the caller's certificate, and streams it to AWS and the answer back.
 */
import type https from 'node:https'
import type { AuditEvent } from '#audit/event.ts'
import { type Intent, type Spool, SpoolFull } from '#audit/spool.ts'
import { awsErrorDocument, protocolOf } from '#aws/error-document.ts'
import { answerHeaders } from '#aws/forwarding.ts'
import { type AwsOperation, isMutating } from '#aws/operation.ts'
import { roleSessionName } from '#aws/session-name.ts'
import { type AwsCredentials, createSigningKeys, type SigningKeys } from '#aws/sigv4.ts'
import type { RoleCredentials } from '#aws/sts-client.ts'
import { AccessError } from '#errors.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import { ClientGone, type ForwardSummary, forwardHttp } from '#net/forward-http.ts'
import { filterHeaders, rawHeader, withoutHopByHop } from '#net/raw-headers.ts'
import type { App } from '#resources/app.ts'
import { httpStatus, type Refusal, RefusedWhileServing } from './admit.ts'
import { askWhole, unreadableAnswer, untilAborted } from './aws-ask.ts'
import { planAssumeRole, readAssumeRoleAnswer, replaceCredentials } from './aws-assume-role.ts'
import { isAssumeRole, mayAskForCredentials, refuseCredentialCall } from './aws-credential-calls.ts'
import { type CallFacts, type CallOutcome, chunkEvent, type EventSource, requestEvent } from './aws-event.ts'
import { operationOf } from './aws-operation.ts'
import { refuseOtherPartition } from './aws-partition.ts'
import { type AwsRequest, parseAwsRequest } from './aws-request.ts'
import { hasBody, isOfUnknownLength, signForAws } from './aws-sign.ts'
import { HandedOutKeys, isHandedOutId, unknownRole } from './handed-out-keys.ts'
import type { AdmittedCall, AppCall, AppHandler } from './server.ts'
import { createSessionChunks, type SessionChunks } from './session-chunks.ts'

export interface AwsHandlerOptions {
  readonly credentials: RoleCredentials
  readonly egress: Pick<Egress, 'agent'>
  readonly spool: Pick<Spool, 'emit' | 'intend'>
  readonly source: EventSource
  readonly log: Log
  /** With a full spool, calls that change something are always refused; reading ones only if this is set. */
  readonly refuseReadsUnrecorded?: boolean
}

/** Opens the handler; its parts stay their owners'. */
export function createAwsHandler(options: AwsHandlerOptions): AppHandler {
  const { spool, source } = options
  const parts: Parts = {
    ...options,
    chunks: createSessionChunks({ audit: spool, clock: source.clock }),
    signingKeys: createSigningKeys(),
    handedOut: new HandedOutKeys(),
  }
  return {
    serve: (call) => new AwsExchange(call, call.app, parts).serve(call),
    refuse: (call, refusal, app) => new AwsExchange(call, app, parts).turnAway(refusal),
  }
}

interface Parts extends AwsHandlerOptions {
  readonly chunks: SessionChunks
  readonly signingKeys: SigningKeys
  readonly handedOut: HandedOutKeys
}

/** Bodies by which the operation is recognised are read up to this size; larger ones count as "may change something". */
const MAX_FORM_BYTES = 256 * 1024
/** How long the body of a refused call is waited for. */
const READ_REFUSED_MS = 2_000

/** One request from its head to its one audit event. */
class AwsExchange {
  readonly #call: AppCall
  readonly #app: App | undefined
  readonly #parts: Parts
  readonly #began = performance.now()
  #aws: AwsRequest | undefined
  #operation: AwsOperation | undefined
  #chunkId: string | undefined
  #intent: Intent | undefined
  #isRecorded = false
  #status: number | undefined
  #awsRequestId: string | undefined
  #assumedRole: string | undefined

  constructor(call: AppCall, app: App | undefined, parts: Parts) {
    this.#call = call
    this.#app = app
    this.#parts = parts
  }

  async serve(call: AdmittedCall): Promise<void> {
    try {
      const [aws, form, operation] = await this.#read(call.signal)
      const misdirected = refuseOtherPartition(aws, call.route.awsRoleArn ?? '')
      if (misdirected !== undefined) return await this.refuse(misdirected)
      const refusal = refuseCredentialCall(aws, form, operation)
      if (refusal !== undefined) return await this.refuse(refusal)
      if (isAssumeRole(aws, form)) return await this.#assumeRole(call, aws, form)
      await this.#announce(call)
      await this.#forward(call, aws, form)
    } catch (error) {
      await this.#fail(error)
    }
  }

  /** A call that was not admitted: the audit log has what it was meant to do, as far as that can be read soon. */
  async turnAway(refusal: Refusal): Promise<void> {
    await this.#read(AbortSignal.timeout(READ_REFUSED_MS)).catch(() => {}) // whatever it is, it is refused
    await this.refuse(refusal)
  }

  async #read(signal: AbortSignal): Promise<readonly [AwsRequest, Buffer | undefined, AwsOperation]> {
    const { method = 'GET', url = '/', rawHeaders } = this.#call.request
    const aws = parseAwsRequest({ method, url, rawHeaders })
    this.#aws = aws
    const account = this.#accountOf(aws)
    this.#operation = await operationOf(aws, undefined, account) // the body may say more, or never come
    const form = await untilAborted(this.#readForm(aws), signal)
    const operation = await operationOf(aws, form, account)
    this.#operation = operation
    return [aws, form, operation]
  }

  async refuse(refusal: Refusal): Promise<void> {
    const { message, hint, reason, code, detail } = refusal
    const status = httpStatus(code)
    await this.#recordAnyway({ decision: 'denied', reason, message, status_code: status })
    this.#log('refused a call', { reason, message, detail })
    this.#answer(status, awsCode(refusal, this.#protocol()), `${message}; ${hint}`)
  }

  /** What has to be on disk before the call is made. */
  async #announce(call: AdmittedCall): Promise<void> {
    const { spool, chunks, source } = this.#parts
    const mayChange = this.#operation === undefined || isMutating(this.#operation)
    try {
      const { sessionId } = call.route
      this.#chunkId = await chunks.current(sessionId, (id) => chunkEvent(call, call.app, source, id))
    } catch (error) {
      if (mayChange || !this.#mayGoUnrecorded(error)) throw error
    }
    if (mayChange) this.#intent = await spool.intend(this.#event({ decision: 'allowed' }))
  }

  async #forward(call: AdmittedCall, aws: AwsRequest, form: Buffer | undefined): Promise<void> {
    const { signal, request, response } = call
    const { headers, body } = await this.#signed(call, aws, form)
    await forwardHttp({
      request,
      response,
      target: this.#target(aws),
      headers,
      body,
      signal,
      onResponse: (answer) => {
        this.#status = answer.statusCode
        this.#awsRequestId =
          rawHeader(answer.rawHeaders, 'x-amzn-requestid') ?? rawHeader(answer.rawHeaders, 'x-amz-request-id')
        // What our own parts say to each other must not come from outside.
        return filterHeaders(answer.rawHeaders, (name) => !name.startsWith('x-teleport-'))
      },
      beforeEnd: (summary) => this.#record(outcomeOf(summary)),
    })
    if ((this.#status ?? 0) >= 400) this.#log('AWS answered with an error', { status: this.#status }, 'info')
  }

  /** Answers with placeholders: the role's own credentials stay here, under the id of the placeholders. */
  async #assumeRole(call: AdmittedCall, aws: AwsRequest, form: Buffer | undefined): Promise<void> {
    const { source, handedOut } = this.#parts
    const plan = planAssumeRole(aws, form, { expires: call.identity.expires, now: source.clock() })
    if (!plan.allowed) return this.refuse(plan)
    await this.#announce(call)
    const signed = await this.#signed(call, plan.aws, plan.body)
    const target = { ...this.#target(plan.aws), method: aws.method, headers: withoutHopByHop(signed.headers) }
    const { response, text } = await askWhole(target, plan.body, call.signal)
    this.#status = response.statusCode
    const role = this.#status === 200 ? readAssumeRoleAnswer(text) : undefined
    if (this.#status === 200 && role === undefined) throw unreadableAnswer()
    const placeholder = role && handedOut.add(call.route.sessionId, role)
    const answer = Buffer.from(placeholder === undefined ? text : replaceCredentials(text, placeholder))
    this.#assumedRole = role?.assumedRoleArn
    await this.#record({ decision: 'allowed', status_code: response.statusCode ?? 0, response_bytes: answer.length })
    const key = placeholder && `${placeholder.accessKeyId}:${placeholder.secretAccessKey.reveal()}`
    call.response.writeHead(response.statusCode ?? 502, [
      ...filterHeaders(response.rawHeaders, (name) => /^(content-type|date|x-amzn-requestid)$/.test(name)),
      ...['Content-Length', String(answer.length)],
      ...(key === undefined ? [] : [answerHeaders.issuedKey, key]),
      ...(plan.info === undefined ? [] : [answerHeaders.apiInfo, encodeURIComponent(plan.info)]),
    ])
    call.response.end(answer)
  }

  async #signed(call: AdmittedCall, aws: AwsRequest, form: Buffer | undefined): Promise<ReturnType<typeof signForAws>> {
    const credentials = await this.#credentialsFor(call, aws)
    call.signal.throwIfAborted()
    const { source, signingKeys } = this.#parts
    return signForAws(aws, { request: call.request, form, credentials, at: source.clock(), signingKeys })
  }

  /** Of the role in the certificate, or of one that the session has assumed from there. */
  async #credentialsFor(call: AdmittedCall, aws: AwsRequest): Promise<AwsCredentials> {
    const { credentials, handedOut, source } = this.#parts
    if (!isHandedOutId(aws.accessKeyId)) return untilAborted(credentials.get(roleRequest(call, aws)), call.signal)
    const role = handedOut.find(aws.accessKeyId, call.route.sessionId, source.clock())
    if (role === undefined) throw unknownRole()
    this.#assumedRole = role.assumedRoleArn
    return role.credentials
  }

  /** Account of the role that the call is made as. */
  #accountOf({ accessKeyId }: AwsRequest): string | undefined {
    const { handedOut, source } = this.#parts
    const { sessionId = '', awsRoleArn } = this.#call.identity.routeToApp ?? {}
    const role = isHandedOutId(accessKeyId)
      ? handedOut.find(accessKeyId, sessionId, source.clock())?.assumedRoleArn
      : awsRoleArn
    return role?.split(':')[4]
  }

  #target(aws: AwsRequest): https.RequestOptions {
    return {
      host: aws.endpoint.host,
      servername: aws.endpoint.host,
      port: 443,
      agent: this.#parts.egress.agent,
      path: aws.query === '' ? aws.path : `${aws.path}?${aws.query}`,
    }
  }

  /** Reads a body that says what the request asks for. Undefined: there is none, or it does not matter. */
  async #readForm(aws: AwsRequest): Promise<Buffer | undefined> {
    const { request, response } = this.#call
    const isForm = /^application\/x-www-form-urlencoded\b/i.test(rawHeader(aws.headers, 'content-type') ?? '')
    const mustRead = mayAskForCredentials(aws)
    if (!mustRead && (aws.payloadMode !== 'whole' || !isForm)) return undefined
    if (!hasBody(request)) return undefined
    const length = Number(
      rawHeader(request.rawHeaders, 'content-length') ?? (isOfUnknownLength(request) ? Number.NaN : 0),
    )
    if (length === 0) return undefined
    const isPlain = aws.payloadMode === 'whole' && rawHeader(aws.headers, 'content-encoding') === undefined
    if (!(length <= MAX_FORM_BYTES) || !isPlain) {
      if (!mustRead) return undefined
      throw new RefusedWhileServing({
        allowed: false,
        code: 'invalid',
        reason: 'body-too-large',
        message: `a request to STS of more than ${MAX_FORM_BYTES} bytes, of unknown length or with an encoding is not let through`,
        hint: 'send it plain, with a Content-Length',
      })
    }
    if (rawHeader(aws.headers, 'expect') !== undefined) response.writeContinue()
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** Answers for what went wrong, as far as that is still possible, and records it. */
  async #fail(error: unknown): Promise<void> {
    const { response, signal } = this.#call
    const reason: unknown = signal.aborted ? signal.reason : error
    const refusal = reason instanceof RefusedWhileServing ? reason.refusal : undefined
    const outcome = refusal !== undefined ? 'cut' : reason instanceof ClientGone ? 'client-gone' : 'failed'
    const hasBegun = response.headersSent
    const { code, message, hint } =
      reason instanceof AccessError
        ? reason
        : { code: 'unavailable' as const, message: 'the call failed at the agent', hint: 'try again' }
    const status = hasBegun ? this.#status : httpStatus(code)
    await this.#recordAnyway({
      // What could not be noted, or not be read, was not made.
      decision: refusal !== undefined || code === 'invalid' || code === 'exhausted' ? 'denied' : 'allowed',
      reason: refusal?.reason ?? code,
      message,
      ...(status === undefined ? {} : { status_code: status }),
      outcome,
    })
    this.#log('a call failed', { error: reason, outcome })
    if (hasBegun || response.destroyed) response.destroy()
    else this.#answer(status ?? 503, awsCode(refusal ?? { code, reason: '' }, this.#protocol()), `${message}; ${hint}`)
  }

  async #record(outcome: CallOutcome): Promise<void> {
    if (this.#isRecorded) return
    this.#isRecorded = true
    const event = this.#event({
      duration_ms: Math.round(performance.now() - this.#began),
      ...(this.#awsRequestId === undefined ? {} : { aws_request_id: this.#awsRequestId }),
      ...outcome,
    })
    if (this.#intent !== undefined) return this.#intent.complete(event)
    try {
      await this.#parts.spool.emit(event)
    } catch (error) {
      if (!this.#mayGoUnrecorded(error)) throw error
      this.#log('a reading call is not in the audit log', { error })
    }
  }

  /** For calls that are over or refused: they are answered also when they cannot be recorded. */
  async #recordAnyway(outcome: CallOutcome): Promise<void> {
    await this.#record(outcome).catch((error: unknown) => this.#log('a call is not in the audit log', { error }))
  }

  #mayGoUnrecorded(error: unknown): boolean {
    return error instanceof SpoolFull && this.#parts.refuseReadsUnrecorded !== true
  }

  #event(outcome: CallOutcome): AuditEvent {
    const facts: CallFacts = {
      app: this.#app,
      aws: this.#aws,
      operation: this.#operation,
      ...(this.#chunkId === undefined ? {} : { chunkId: this.#chunkId }),
      ...(this.#assumedRole === undefined ? {} : { assumedRole: this.#assumedRole }),
    }
    return requestEvent(this.#call, facts, outcome, this.#parts.source)
  }

  #protocol(): ReturnType<typeof protocolOf> {
    const { request } = this.#call
    const service = this.#aws?.scope.service ?? guessService(request.rawHeaders)
    return protocolOf(service, request.rawHeaders, this.#aws?.query ?? '')
  }

  #answer(status: number, code: string, message: string): void {
    const { request, response, requestId } = this.#call
    if (response.headersSent || response.destroyed) return
    const { headers, body } = awsErrorDocument({ protocol: this.#protocol(), code, message, requestId })
    // A body that nobody will read is let run out; the connection is not used again.
    response.writeHead(status, [...headers, ...(request.complete ? [] : ['Connection', 'close'])])
    response.end(body)
    request.resume()
  }

  #log(message: string, fields: Readonly<Record<string, unknown>>, level: 'info' | 'warn' = 'warn'): void {
    const { identity, requestId } = this.#call
    const operation = this.#operation && `${this.#operation.service}:${this.#operation.operation}`
    this.#parts.log[level](message, {
      request_id: requestId,
      user: identity.name,
      app: this.#app?.metadata.name,
      host: this.#aws?.endpoint.host,
      operation,
      ...(this.#awsRequestId === undefined ? {} : { aws_request_id: this.#awsRequestId }),
      ...fields,
    })
  }
}

function roleRequest(
  { app, identity, route }: AdmittedCall,
  { scope }: AwsRequest,
): Parameters<RoleCredentials['get']>[0] {
  const externalId = app.spec.aws?.external_id
  return {
    app: app.metadata.name,
    user: identity.name,
    roleArn: route.awsRoleArn ?? '', // `admit` has seen that there is one
    sessionName: roleSessionName(identity.name),
    region: scope.region,
    ...(externalId === undefined ? {} : { externalId }),
  }
}

const outcomeOf = ({ status, requestBytes, responseBytes }: ForwardSummary): CallOutcome => ({
  decision: 'allowed',
  status_code: status,
  request_bytes: requestBytes,
  response_bytes: responseBytes,
})

/** For refusals of requests that could not be read: the service in the credential scope, if there is one. */
function guessService(headers: readonly string[]): string {
  return (
    // With bounds, because a header of many beginnings would take time in their square.
    /Credential=[^/]{0,128}\/\d{8}\/[^/]{0,64}\/([^/]{0,64})\/aws4_request/.exec(
      rawHeader(headers, 'authorization') ?? '',
    )?.[1] ?? ''
  )
}

/** The word by which AWS clients know the kind of failure. */
function awsCode({ code, reason }: Pick<Refusal, 'code' | 'reason'>, protocol: ReturnType<typeof protocolOf>): string {
  if (reason === 'expired') return 'ExpiredToken'
  switch (code) {
    case 'denied':
    case 'unauthenticated':
      return /json|cbor/.test(protocol) ? 'AccessDeniedException' : 'AccessDenied'
    case 'exhausted':
    case 'unavailable':
      return 'ServiceUnavailable'
    case 'not-found':
      return 'NotFound'
    default:
      return 'InvalidRequest'
  }
}
