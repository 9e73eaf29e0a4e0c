/** Refusals in the shape of each AWS protocol. */
import type { AwsError } from './aws-error.ts'
import { writeXml } from './xml.ts'

/** How a service speaks. @see Smithy, "AWS Protocols" */
export type Protocol = 'rest-xml' | 'query' | 'ec2' | 'json' | 'rest-json'

/** Headers and body of a refusal. */
export interface ErrorDocument {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Whose document it is. */
export interface ErrorDocumentOptions {
  readonly protocol: Protocol
  readonly requestId: string
  readonly namespace?: string | undefined
}

/** Writes an error as clients of the protocol expect it. */
export function errorDocument(
  error: AwsError,
  { protocol, requestId, namespace }: ErrorDocumentOptions,
): ErrorDocument {
  const { code, message } = error
  switch (protocol) {
    case 'rest-xml':
      return {
        headers: { 'content-type': 'application/xml' },
        body: writeXml('Error', {
          Code: code,
          Message: message,
          ...error.fields,
          RequestId: requestId,
          HostId: hostId,
        }),
      }
    case 'query': {
      const Type = error.status >= 500 ? 'Receiver' : 'Sender'
      const document = { Error: { Type, Code: code, Message: message }, RequestId: requestId }
      return { headers: { 'content-type': 'text/xml' }, body: writeXml('ErrorResponse', document, namespace) }
    }
    case 'ec2': {
      const document = { Errors: { Error: { Code: code, Message: message } }, RequestID: requestId }
      return { headers: { 'content-type': 'text/xml;charset=UTF-8' }, body: writeXml('Response', document) }
    }
    case 'json':
      return {
        headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-errortype': code },
        body: JSON.stringify({ __type: namespace ? `${namespace}#${code}` : code, message }),
      }
    case 'rest-json':
      return {
        headers: { 'content-type': 'application/json', 'x-amzn-errortype': code },
        body: JSON.stringify({ message }),
      }
  }
}

/** S3's second request id. */
export const hostId = 'bGFiIG9uIGxvb3BiYWNr'
