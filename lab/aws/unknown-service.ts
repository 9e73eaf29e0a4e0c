/** What answers for services that the lab does not have: signatures are still checked, then there is no such operation. */
import type { AwsService } from './call.ts'
import type { Protocol } from './error-document.ts'
import { headerValues, type WireRequest } from './signature.ts'

const noOperation = (): never => {
  throw new Error('a request without an operation is refused before it is handled')
}

/** Speaks the protocol that the request itself seems to speak, so that a client can show the refusal. */
export function unknownService(name: string, request: WireRequest): AwsService {
  const protocol = protocolOf(request)
  const wording = protocol === 'query' ? 'query' : 'json'
  return { name, protocol, wording, allowedSkewMs: 5 * 60_000, operationOf: () => undefined, handle: noOperation }
}

function protocolOf(request: WireRequest): Protocol {
  const [contentType = ''] = headerValues(request, 'content-type')
  if (contentType.startsWith('application/x-www-form-urlencoded')) return 'query'
  return contentType.startsWith('application/x-amz-json') ? 'json' : 'rest-json'
}
