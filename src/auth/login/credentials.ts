import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Records, StoredRecord } from '#auth/records.ts'
import { AlreadyExists, InvalidInput, LimitExceeded, NotFound } from '#errors.ts'
import { Secret } from '#secret.ts'
import { RevisionConflict } from '#storage/backend-errors.ts'
import { verifyTotp } from './totp.ts'

const deviceSchema = z.object({
  id: z.string(),
  name: z.string(),
  /** Base32. */
  secret: z.string(),
  /** RFC 3339. */
  added: z.string(),
  lastUsed: z.string().optional(),
  /** Time step of the last code that opened: it and earlier ones are used up, also after a restart. */
  lastStep: z.number(),
})
/** What a local user proves themselves with. Without `passwordHash` nobody can log in as them. */
export const credentialsSchema = z.object({
  passwordHash: z.string().optional(),
  devices: z.array(deviceSchema),
})
export type TotpDevice = z.infer<typeof deviceSchema>
export type Credentials = z.infer<typeof credentialsSchema>

const MAX_DEVICES = 16
const MAX_NAME_BYTES = 100

/** A new device whose first code was seen already. @throws {InvalidInput} */
export function newDevice({
  name,
  secret,
  step,
  now,
}: {
  name: string
  secret: Secret
  step: number
  now: Date
}): TotpDevice {
  if (name.trim() === '' || Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new InvalidInput(`a device has a name of 1 to ${MAX_NAME_BYTES} bytes`, { hint: 'choose another name' })
  }
  return { id: randomUUID(), name, secret: secret.reveal(), added: now.toISOString(), lastStep: step }
}

/** @throws {AlreadyExists} @throws {LimitExceeded} */
export function withDevice(credentials: Credentials, device: TotpDevice): Credentials {
  if (credentials.devices.some(({ name }) => name === device.name)) {
    throw new AlreadyExists(`you have a device with the name "${device.name}" already`, {
      hint: 'choose another name, or remove the old device first',
    })
  }
  if (credentials.devices.length >= MAX_DEVICES) {
    throw new LimitExceeded(`you have ${MAX_DEVICES} devices already`, { hint: 'remove one with "tsh mfa rm"' })
  }
  return { ...credentials, devices: [...credentials.devices, device] }
}

/** The device with this name or id. @throws {NotFound} */
export function deviceOf(credentials: Credentials, nameOrId: string): TotpDevice {
  const device = credentials.devices.find(({ id, name }) => id === nameOrId || name === nameOrId)
  if (device) return device
  throw new NotFound(`you have no device "${nameOrId}"`, { hint: 'run "tsh mfa ls" to see your devices' })
}

/**
 * Uses up a code of one of the user's devices: gives that device, or `undefined` if the code fits none or was used.
 * Of two that arrive at the same time with one code, one succeeds, because the record is written at its revision.
 */
export async function consumeTotp(
  records: Records<Credentials>,
  { name: user, value, revision }: StoredRecord<Credentials>,
  code: string,
  now: Date,
): Promise<TotpDevice | undefined> {
  for (const device of value.devices) {
    const step = await verifyTotp(new Secret(device.secret), code, { now, lastStep: device.lastStep })
    if (step === undefined) continue
    const used = { ...device, lastStep: step, lastUsed: now.toISOString() }
    const devices = value.devices.map((other) => (other.id === device.id ? used : other))
    try {
      await records.put(user, { ...value, devices }, { ifRevision: revision })
      return used
    } catch (error) {
      if (error instanceof RevisionConflict) return undefined
      throw error
    }
  }
  return undefined
}

/** How events name a device. */
export function deviceFields({ id, name }: TotpDevice): Readonly<Record<string, string>> {
  return { mfa_device_name: name, mfa_device_uuid: id, mfa_device_type: 'TOTP' }
}
