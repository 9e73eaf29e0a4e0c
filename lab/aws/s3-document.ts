/** Bodies of S3 requests that are documents: read whole, under the same checks as uploads. */
import { AwsError } from './aws-error.ts'
import type { S3Call } from './s3-call.ts'
import { dropContent, readContent } from './s3-content.ts'
import { receiveBody } from './s3-payload.ts'
import { InvalidXml, parseXml, type XmlElement } from './xml.ts'

/** The most that a document may have, in bytes. */
const maxBytes = 2 * 1024 * 1024

/** @throws {AwsError} MalformedXML, EntityTooLarge, and what `receiveBody` throws */
export async function readDocument({ call, store }: S3Call): Promise<XmlElement | undefined> {
  const { 'content-length': length, 'transfer-encoding': encoding } = call.headers
  if ((length === undefined || length === '0') && encoding === undefined) return undefined
  if (Number(length) > maxBytes) {
    throw new AwsError('EntityTooLarge', 400, 'Your proposed upload exceeds the maximum allowed size')
  }
  const { content } = await receiveBody(call, store.directory)
  const chunks: Buffer[] = await readContent(content).toArray()
  await dropContent(content)
  try {
    return parseXml(Buffer.concat(chunks).toString('utf8'))
  } catch (error) {
    if (!(error instanceof InvalidXml)) throw error
    throw malformedXml()
  }
}

/** The refusal of a document. */
export const malformedXml = (): AwsError =>
  new AwsError(
    'MalformedXML',
    400,
    'The XML you provided was not well-formed or did not validate against our published schema',
  )
