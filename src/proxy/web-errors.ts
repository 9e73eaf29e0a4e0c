import type { FastifyReply, FastifyRequest } from 'fastify'
import { AccessError, type ErrorCode } from '#errors.ts'
import type { Log } from '#log.ts'
import { product } from '#product.ts'

/** The one table of HTTP statuses. Who is not signed in gets 403 as well: 401 would call for a scheme of HTTP's own. */
const statusOf: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  unauthenticated: 403,
  denied: 403,
  'not-found': 404,
  'already-exists': 409,
  conflict: 412,
  exhausted: 429,
  unavailable: 503,
}

/** Answers in the one shape: `{"error":{"message":"…","hint":"…"}}`. What is not ours to show is for the log alone. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
  if (error instanceof AccessError) {
    log.debug('request refused', { error, path: request.routeOptions.url })
    const { message, hint } = error
    return reply.code(statusOf[error.code]).send({ error: { message, hint } })
  }
  const refusal = ofServer(error)
  if (refusal !== undefined) {
    return reply.code(refusal.status).send({ error: { message: refusal.message, hint: 'correct the request' } })
  }
  log.error('request failed', { error, path: request.routeOptions.url })
  return reply
    .code(500)
    .send({ error: { message: 'internal error', hint: 'look into the log of the proxy for the cause' } })
}

/** What the web server itself refuses, such as a body that is too long. */
function ofServer(error: unknown): { readonly status: number; readonly message: string } | undefined {
  if (!(error instanceof Error && 'statusCode' in error)) return undefined
  const { statusCode: status, message } = error
  return typeof status === 'number' && status < 500 ? { status, message } : undefined
}

/** A path that is not here: newer clients see from the version that this proxy is older. */
export function answerNotFound(_request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.code(404).send({
    error: {
      message: 'this path does not exist at this proxy',
      hint: `compare the versions: this proxy is ${product.version}`,
    },
    server_version: product.compatibleVersion,
    product_version: product.version,
  })
}
