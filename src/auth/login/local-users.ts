import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { openRecords } from '#auth/records.ts'
import type { Clock } from '#clock.ts'
import { AccessDenied, Conflict, InvalidInput, NotFound } from '#errors.ts'
import { Secret } from '#secret.ts'
import type { Backend } from '#storage/backend.ts'
import {
  type Credentials,
  consumeTotp,
  credentialsSchema,
  deviceOf,
  newDevice,
  type TotpDevice,
  withDevice,
} from './credentials.ts'
import { createLockout, type LockoutSettings, loginHistorySchema } from './lockout.ts'
import { checkNewPassword, createPasswordHasher } from './password.ts'
import { generateTotpSecret, verifyTotp } from './totp.ts'
import { createUserTokens, type TokenPurpose, type UserToken, userTokenSchema } from './user-tokens.ts'

/** Whether a code is needed: of everyone, of whoever has a device, of nobody. */
export type TotpRule = 'required' | 'optional' | 'off'

/** What somebody shows to log in. */
export interface LoginAttempt {
  readonly user: string
  readonly password: Secret
  /** Empty: none given. */
  readonly totpCode: string
  /** IP address of the client. */
  readonly address: string
  readonly totpRule: TotpRule
}

interface NewCredentials {
  readonly token: Secret
  readonly password: Secret
  readonly totpCode: string
  readonly deviceName: string
  readonly totpRule: TotpRule
}

/** Passwords, devices, invites and failed logins of the users that the cluster knows itself. */
export interface LocalUsers {
  /** Whether password is right; and whether a code is needed to go on. @throws {InvalidCredentials} @throws {AccessDenied} when locked out */
  begin(attempt: Omit<LoginAttempt, 'totpCode'>): Promise<{ readonly totp: boolean }>
  /** Gives the device whose code was used. @throws {InvalidCredentials} @throws {AccessDenied} when locked out */
  finish(attempt: LoginAttempt): Promise<{ readonly device?: TotpDevice }>
  /** Makes a link. @param ttlMs 0: the usual life */
  createToken(user: string, purpose: TokenPurpose, ttlMs: number): Promise<{ token: Secret; record: UserToken }>
  getToken(token: Secret): Promise<UserToken>
  /** Sets password and device and uses the token up, all or nothing. */
  redeem(credentials: NewCredentials): Promise<{ readonly record: UserToken; readonly device?: TotpDevice }>
  /** The old password and devices are void at once: whoever resets fears that they are known. */
  reset(user: string): Promise<void>
  /** @param attempt with the old password */
  changePassword(attempt: LoginAttempt, newPassword: Secret): Promise<void>
  devices(user: string): Promise<readonly TotpDevice[]>
  /** @param totpCode of a device that the user has; needed when there is one */
  beginDevice(user: string, name: string, totpCode: string): Promise<{ id: string; secret: Secret }>
  finishDevice(user: string, id: string, totpCode: string): Promise<TotpDevice>
  /** @throws {Conflict} for the last device while a code is required */
  removeDevice(user: string, device: { nameOrId: string; totpCode: string; totpRule: TotpRule }): Promise<TotpDevice>
  /** Forgets failed logins. */
  unlock(user: string): Promise<void>
  /** Forgets everything about a user. */
  remove(user: string): Promise<void>
}

/** One text for every way to fail, so that it does not tell what was right. */
export class InvalidCredentials extends AccessDenied {
  constructor() {
    super('invalid username, password or second factor', { hint: 'check all three, then try again' })
  }
}

const ENROLMENT_MS = 10 * 60_000
const enrolmentSchema = z.object({ user: z.string(), name: z.string(), secret: z.string() })

export function openLocalUsers({
  backend,
  clock,
  lockout: settings,
}: {
  backend: Backend
  clock: Clock
  lockout?: LockoutSettings | undefined
}): LocalUsers {
  const credentials = openRecords(backend, 'credentials', credentialsSchema)
  const enrolments = openRecords(backend, 'enrolments', enrolmentSchema)
  const lockout = createLockout({
    records: openRecords(backend, 'logins', loginHistorySchema),
    clock,
    ...(settings && { settings }),
  })
  // Guesses at a code by whoever holds a certificate: they lock the management of devices, and never a login.
  const codeLockout = createLockout({
    records: openRecords(backend, 'device_codes', loginHistorySchema),
    clock,
    ...(settings && { settings }),
  })
  const tokens = createUserTokens({ records: openRecords(backend, 'user_tokens', userTokenSchema), clock })
  const hasher = createPasswordHasher()

  /** Both factors, one after the other; every failure counts, and none says which it was. */
  const prove = async (
    { user, password, address, totpRule }: Omit<LoginAttempt, 'totpCode'>,
    totpCode: string | undefined,
  ): Promise<{ totp: boolean; device?: TotpDevice }> => {
    await lockout.check(user, address)
    const found = await credentials.find(user)
    const isRight = await hasher.verify(password, found?.value.passwordHash)
    // Again: of many guesses at the same time all would have passed the first look.
    await lockout.check(user, address)
    const fail = async (): Promise<never> => {
      await lockout.recordFailure(user, address)
      throw new InvalidCredentials()
    }
    if (!isRight || !found) return fail()
    const totp = needsCode(totpRule, found.value)
    if (totpCode === undefined) return { totp }
    if (!totp) {
      await lockout.recordSuccess(user, address)
      return { totp }
    }
    if (found.value.devices.length === 0) {
      throw new AccessDenied('a second factor is required and this user has none', {
        hint: 'ask an administrator for a new link with "tctl users reset"',
      })
    }
    const device = await consumeTotp(credentials, found, totpCode, clock())
    if (!device) return fail()
    await lockout.recordSuccess(user, address)
    return { totp, device }
  }

  const own = async (user: string): Promise<{ value: Credentials; revision: string }> =>
    (await credentials.find(user)) ?? { value: { devices: [] }, revision: 'absent' }

  /** A code of a device that the user has; a user without one needs none. */
  const checkOwnCode = async (user: string, totpCode: string): Promise<void> => {
    const found = await credentials.find(user)
    if (!found || found.value.devices.length === 0) return
    await codeLockout.check(user, '')
    // Counted before it is looked at: of many guesses at the same time all would have passed the first look.
    await codeLockout.recordFailure(user, '')
    await codeLockout.check(user, '')
    if (await consumeTotp(credentials, found, totpCode, clock())) return codeLockout.clear(user)
    throw new AccessDenied('the code is wrong or was used already', {
      hint: 'wait for the next code of a device that you have, and enter that one',
    })
  }

  return {
    begin: (attempt) => prove(attempt, undefined),
    finish: ({ totpCode, ...attempt }) => prove(attempt, totpCode),
    createToken: (user, purpose, ttlMs) => tokens.create(user, purpose, ttlMs),
    getToken: (token) => tokens.get(token),
    async redeem({ token, password, totpCode, deviceName, totpRule }) {
      const record = await tokens.get(token)
      checkNewPassword(password)
      const wantsDevice = totpRule === 'required' || (totpRule === 'optional' && totpCode !== '')
      const device = wantsDevice ? await firstDevice(record, totpCode, deviceName) : undefined
      const value = { passwordHash: await hasher.hash(password), devices: device ? [device] : [] }
      const used = await tokens.redeem(token)
      await backend.write([used, credentials.write(record.user, value)])
      await lockout.clear(record.user)
      await codeLockout.forget(record.user)
      return { record, ...(device && { device }) }
    },
    async reset(user) {
      await credentials.put(user, { devices: [] })
      await lockout.clear(user)
      await codeLockout.forget(user)
    },
    async changePassword({ totpCode, ...attempt }, newPassword) {
      checkNewPassword(newPassword)
      await prove(attempt, totpCode)
      const passwordHash = await hasher.hash(newPassword)
      const { value, revision } = await own(attempt.user)
      await credentials.put(attempt.user, { ...value, passwordHash }, { ifRevision: revision })
    },
    devices: async (user) => (await own(user)).value.devices,
    async beginDevice(user, name, totpCode) {
      const { value } = await own(user)
      const secret = generateTotpSecret()
      withDevice(value, newDevice({ name, secret, step: 0, now: clock() })) // refused now rather than after the scan
      await checkOwnCode(user, totpCode)
      const id = randomUUID()
      const expires = new Date(clock().getTime() + ENROLMENT_MS)
      await enrolments.put(id, { user, name, secret: secret.reveal() }, { expires })
      return { id, secret }
    },
    async finishDevice(user, id, totpCode) {
      const enrolment = await enrolments.find(id)
      if (enrolment?.value.user !== user) {
        throw new NotFound('this enrolment does not exist or is over', { hint: 'begin again with "tsh mfa add"' })
      }
      const { name, secret } = enrolment.value
      const device = await provenDevice(new Secret(secret), totpCode, name)
      const { value, revision } = await own(user)
      await credentials.put(user, withDevice(value, device), { ifRevision: revision })
      await enrolments.delete(id)
      return device
    },
    async removeDevice(user, { nameOrId, totpCode, totpRule }) {
      const device = deviceOf((await own(user)).value, nameOrId)
      await checkOwnCode(user, totpCode)
      const { value, revision } = await own(user)
      const devices = value.devices.filter(({ id }) => id !== device.id)
      if (devices.length === 0 && totpRule === 'required') {
        throw new Conflict('this is your last device, and a second factor is required', {
          hint: 'add another one first with "tsh mfa add"',
        })
      }
      await credentials.put(user, { ...value, devices }, { ifRevision: revision })
      return device
    },
    unlock: (user) => lockout.clear(user),
    async remove(user) {
      await tokens.revoke(user)
      await credentials.delete(user)
      await lockout.forget(user)
      await codeLockout.forget(user)
    },
  }

  function firstDevice(record: UserToken, totpCode: string, name: string): Promise<TotpDevice> {
    return provenDevice(record.totpSecret, totpCode, name === '' ? 'otp' : name)
  }

  /** A device counts once it has given a code: an authenticator that scanned wrongly would lock its user out. */
  async function provenDevice(secret: Secret, totpCode: string, name: string): Promise<TotpDevice> {
    const now = clock()
    const step = await verifyTotp(secret, totpCode, { now, lastStep: 0 })
    if (step !== undefined) return newDevice({ name, secret, step, now })
    throw new InvalidInput('the code does not fit', {
      hint: 'scan the picture again, check that the clock of the device is right, and enter the present code',
    })
  }
}

function needsCode(rule: TotpRule, { devices }: Credentials): boolean {
  return rule === 'required' || (rule === 'optional' && devices.length > 0)
}
