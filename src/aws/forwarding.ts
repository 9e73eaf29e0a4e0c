/**
 * What the local proxy on the workstation and the agent say to each other about one AWS request, beside the request itself.
 *
 * The request travels as the client sent it: method, path, query, every header and the placeholder `Authorization`
 * (or the presigned query), whose credential scope names region and service to sign for. The local proxy drops
 * whatever a client sent under these names, `X-Forwarded-*` and `X-Teleport-*`, and then sets its own. The agent
 * reads them and removes them before it signs.
 */

/** Request headers from the local proxy to the agent. */
export const forwarding = {
  /** AWS host that the client called, exactly once: `s3.us-east-1.amazonaws.com`, with `:443` if it stood there. */
  host: 'x-forwarded-host',
  /**
   * What to sign as payload hash: 64 lower-case hex digits of SHA-256 over the body that follows,
   * `UNSIGNED-PAYLOAD`, or `STREAMING-UNSIGNED-PAYLOAD-TRAILER`. With the payload modes `signed-chunks` and
   * `signed-chunks-trailer` it is the client's own `STREAMING-AWS4-HMAC-SHA256-PAYLOAD[-TRAILER]`. Always present.
   */
  payloadHash: 'x-teleport-aws-payload-hash',
  /** One of `payloadModes`: how the body arrives. Always present. */
  payloadMode: 'x-teleport-aws-payload-mode',
  /**
   * Only with `signed-chunks-trailer`: names of the trailing headers, lower case, joined with `,`. Their values follow
   * the body as HTTP trailers of this request (RFC 9110 §6.5), verified already.
   */
  trailer: 'x-teleport-aws-trailer',
  /** `1` when the placeholder signature stood in the query: sign in headers instead, and drop the `X-Amz-*` signature fields of the query. */
  presigned: 'x-teleport-aws-presigned',
} as const

/**
 * How the body arrives at the agent.
 * - `whole`: as the client sent it; pass it on untouched under `payloadHash` (this includes the framed, unsigned
 *   `STREAMING-UNSIGNED-PAYLOAD-TRAILER`).
 * - `signed-chunks`: the content of verified chunks without their framing; `x-amz-decoded-content-length` is its
 *   length. Sign again as `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` and frame it with the chunk encoder.
 * - `signed-chunks-trailer`: the same, and the HTTP trailers named in `trailer` go into the signed trailer.
 * A body that ends early (connection aborted) failed verification: never write its final chunk.
 */
export const payloadModes = ['whole', 'signed-chunks', 'signed-chunks-trailer'] as const
export type PayloadMode = (typeof payloadModes)[number]

/** Response headers from the agent to the local proxy, which removes them before the client sees the answer. */
export const answerHeaders = {
  /** Reason of a refusal in one line; the local proxy tells it to the user even where the client drops bodies (HEAD). Percent-encoded. */
  apiError: 'x-teleport-api-error',
  /** A remark for the user, such as a lowered session duration; may be repeated. Percent-encoded. */
  apiInfo: 'x-teleport-api-info',
  /**
   * `ACCESSKEYID:SECRET` of placeholder credentials that the answer's body hands out instead of real ones (`sts assume-role`
   * and its kin). The local proxy keeps them for this process and verifies later requests with them.
   */
  issuedKey: 'x-teleport-aws-issued-key',
} as const
