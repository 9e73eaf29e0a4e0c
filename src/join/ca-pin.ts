/** CA pins: the public keys by which a joining machine knows its cluster before anything vouches for it. */
import { timingSafeEqual } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { InvalidInput, Unauthenticated } from '#errors.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { spkiSha256 } from '#pki/key.ts'

/** A pin that is configured and is none. */
export class InvalidCaPin extends InvalidInput {}

/** A cluster that is not the one whose pin is configured. */
export class WrongCaPin extends Unauthenticated {}

/**
 * Pins of `ca_pin`: each is `sha256:HEX` or the absolute path of a file with nothing but a pin. Empty texts mean no pin.
 * @throws {InvalidCaPin}
 */
export async function readCaPins(
  values: readonly string[],
  readFile: (path: string) => Promise<string>,
): Promise<readonly string[]> {
  const pins: string[] = []
  for (const value of values.map((text) => text.trim()).filter((text) => text !== '')) {
    pins.push(
      isAbsolute(value)
        ? parseCaPin(await readPinFile(value, readFile), `the file ${value}`)
        : parseCaPin(value, 'ca_pin'),
    )
  }
  return pins
}

/**
 * Passes if every certificate matches a pin. One that matches none may be an attacker's beside the real one.
 * @param from who presented them, for messages
 * @throws {WrongCaPin}
 */
export function checkCaPins(certificates: readonly string[], pins: readonly string[], from: string): void {
  for (const pem of certificates) {
    const hash = spkiSha256(parseCertificate(pem).publicKey)
    const matches = pins.some((pin) => timingSafeEqual(Buffer.from(pin.slice(PREFIX.length), 'hex'), hash))
    if (matches) continue
    throw new WrongCaPin(
      `wrong CA pin: ${from} presents a host authority with pin ${PREFIX}${hash.toString('hex')}, and ca_pin is ${pins.join(', ')}`,
      {
        hint: 'run "tctl status" on the Auth Service and set ca_pin to each "CA pin" that it prints; if they are set already, this is not your cluster',
      },
    )
  }
}

const PREFIX = 'sha256:'

function parseCaPin(text: string, where: string): string {
  const pin = text.trim().toLowerCase()
  if (/^sha256:[0-9a-f]{64}$/.test(pin)) return pin
  throw new InvalidCaPin(`${where} holds ${JSON.stringify(text.slice(0, 80))}, which is not a CA pin`, {
    hint: 'write "sha256:" and 64 hexadecimal digits, as "tctl status" prints it, or the absolute path of a file with that',
  })
}

async function readPinFile(path: string, readFile: (path: string) => Promise<string>): Promise<string> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new InvalidCaPin(`ca_pin names the file ${path}, which cannot be read`, {
      hint: 'correct the path, or write the pin itself',
      cause,
    })
  }
}
