/** How S3 requests say what their signature covers: the values of `x-amz-content-sha256`. */
import { headerValues, type WireRequest } from './signature.ts'

/** Modes whose body is framed in chunks. */
export const streamingModes = [
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
] as const

/** `signed` for a hash, the mode itself for a mode, `none` where the request does not say. */
export function payloadModeOf(request: WireRequest): string {
  const [value] = headerValues(request, 'x-amz-content-sha256')
  if (value === undefined) return 'none'
  return /^[0-9a-f]{64}$/.test(value) ? 'signed' : value
}
