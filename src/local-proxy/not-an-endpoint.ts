/** The answer to who sends requests to the local proxy itself: in the words of AWS, where it is an AWS client that asks. */
import { randomUUID } from 'node:crypto'
import type http from 'node:http'
import { awsErrorDocument, protocolOf } from '#aws/error-document.ts'
import { parseAuthorization } from '#aws/sigv4-authorization.ts'

const explanation = 'this is an HTTPS proxy and no endpoint: set it as HTTPS_PROXY, and leave the endpoint URL out'

/** Answers 400 and says how the proxy is used. Nothing is forwarded. */
export function answerNotAnEndpoint(request: http.IncomingMessage, response: http.ServerResponse): void {
  request.resume()
  const service = serviceOf(request.headers.authorization)
  if (service === undefined) {
    response.writeHead(400, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
    response.end(`${explanation}\n`)
    return
  }
  const { body, headers } = awsErrorDocument({
    protocol: protocolOf(service, request.rawHeaders),
    code: 'InvalidRequest',
    message: explanation,
    requestId: randomUUID(),
  })
  response.writeHead(400, [...headers, 'Connection', 'close'])
  response.end(body)
}

/** The service that a signed request is for. */
function serviceOf(authorization: string | undefined): string | undefined {
  try {
    return authorization === undefined ? undefined : parseAuthorization(authorization).scope.service
  } catch {
    return undefined // no signature that we know: no AWS client that would read our document
  }
}
