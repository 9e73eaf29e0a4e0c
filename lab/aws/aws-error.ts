/** What the lab answers when it refuses, before a protocol gives it a shape. */

/** Extra elements of an error document, in order: `{ BucketName: 'reports' }`. */
export type ErrorFields = Readonly<Record<string, string>>

/** A refusal as AWS names it. `error-document.ts` writes it in the protocol of the service. */
export class AwsError extends Error {
  readonly code: string
  readonly status: number
  readonly fields: ErrorFields
  /** Headers that go with the answer, such as `x-amz-bucket-region`. */
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: string,
    status: number,
    message: string,
    { fields = {}, headers = {} }: { fields?: ErrorFields; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.name = 'AwsError'
    this.code = code
    this.status = status
    this.fields = fields
    this.headers = headers
  }
}
