import type { Prompt } from '#cli/prompt.ts'
import { printable } from '#cli/report-error.ts'
import type { TerminalOutput } from '#cli/terminal.ts'
import { InvalidInput } from '#errors.ts'
import type { Secret } from '#secret.ts'

/** Bounds of a password, in bytes of UTF-8; the cluster checks them again. */
const MIN_PASSWORD_BYTES = 12
const MAX_PASSWORD_BYTES = 128

/**
 * Asks for a new password, a person twice and a pipe once.
 *
 * @throws {InvalidInput} when it is too short or too long, or when the two differ
 */
export async function askNewPassword(prompt: Prompt, user: string): Promise<Secret> {
  const password = await prompt.secret(`Enter a new password for ${user} (${MIN_PASSWORD_BYTES} or more characters):`)
  const bytes = Buffer.byteLength(password.reveal())
  if (bytes < MIN_PASSWORD_BYTES || bytes > MAX_PASSWORD_BYTES) {
    throw new InvalidInput(`the password has ${bytes} characters`, {
      hint: `choose one of ${MIN_PASSWORD_BYTES} to ${MAX_PASSWORD_BYTES}`,
    })
  }
  if (!prompt.isInteractive) return password
  const again = await prompt.secret('Enter it again:')
  if (again.reveal() !== password.reveal()) {
    throw new InvalidInput('the two passwords differ', { hint: 'run the command again' })
  }
  return password
}

/** Asks for six digits; spaces, as authenticator apps show them, are dropped. @throws {InvalidInput} for anything else */
export async function askCode(prompt: Prompt, question = 'Enter your OTP token:'): Promise<string> {
  const code = await askOptionalCode(prompt, question)
  if (code === undefined) throw notACode()
  return code
}

/** As `askCode`; an empty answer gives `undefined`. */
export async function askOptionalCode(prompt: Prompt, question: string): Promise<string | undefined> {
  const code = (await prompt.secret(question)).reveal().replace(/\s/g, '')
  if (code === '') return undefined
  if (!/^\d{6}$/.test(code)) throw notACode()
  return code
}

/** Shows what an authenticator app needs: a QR code where somebody looks, the secret as text always. */
export async function showTotpSecret(
  output: TerminalOutput,
  { secret, uri }: { secret: string; uri: string },
): Promise<void> {
  output.write('Add this account to your authenticator app:\n\n')
  if (output.isTTY === true) {
    const { default: qrcode } = await import('qrcode')
    output.write(`${await qrcode.toString(uri, { type: 'terminal', small: true, errorCorrectionLevel: 'L' })}\n`)
  }
  output.write(`  Secret: ${printable(secret)}\n  URL:    ${printable(uri)}\n\n`)
}

function notACode(): InvalidInput {
  return new InvalidInput('that is not a one-time code', {
    hint: 'type the six digits that your authenticator app shows',
  })
}
