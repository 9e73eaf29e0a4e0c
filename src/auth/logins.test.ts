/** Invites, logins, second factors and lockout, through the proxy's calls. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { generate } from 'otplib'
import { AccessDenied, Conflict, InvalidInput, NotFound } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { type CallerClients, keyPem, password, type RunningAuth, role, runAuth } from './callers.conformance.ts'

const HOUR = 3_600_000
const HOME = '192.0.2.1'
const withCodes = { settings: { cluster_auth_preference: { second_factor: 'otp' } } }

/** The callers log in without a code; then codes are asked for. */
async function runWithCodes(): Promise<RunningAuth> {
  const running = await runAuth({}, [])
  const preference = { kind: 'cluster_auth_preference', spec: withCodes.settings.cluster_auth_preference }
  await running.caller('admin').resources.upsert({ document: { json: JSON.stringify(preference) }, confirm: true })
  return running
}

const createUser = (running: RunningAuth, name: string, roles = ['plain']) =>
  running.caller('admin').users.createUser({
    user: { json: JSON.stringify({ kind: 'user', metadata: { name }, spec: { roles } }) },
  })

/** A user with an authenticator. */
async function signUp(running: RunningAuth, name: string, roles = ['plain']) {
  const { logins } = running.caller('proxy')
  const { token } = await createUser(running, name, roles)
  const { totpSecret } = await logins.getUserToken({ token })
  const code = (): Promise<string> => generate({ secret: totpSecret, epoch: running.now().getTime() / 1000 })
  await logins.redeemUserToken({ token, password, totpCode: await code(), deviceName: 'phone' })
  running.pass(60_000)
  return {
    code,
    /** Logs in with the next code. */
    async login(address = HOME): Promise<CallerClients> {
      running.pass(60_000)
      const keys = generateKeyPair()
      const { certificatePem } = await logins.finishLogin({
        ...{ user: name, password, totpCode: await code(), clientAddress: address },
        publicKeyPem: publicKeyPem(keys.publicKey),
      })
      return running.as({ cert: certificatePem, key: privateKeyPem(keys.privateKey) })
    },
    finish: (more: object) =>
      logins.finishLogin({ user: name, password, publicKeyPem: keyPem(), clientAddress: HOME, ...more }),
  }
}

suite('an invite', () => {
  test('is a link to the proxy, for one hour unless told otherwise', async () => {
    await using running = await runWithCodes()
    const { url, token, created, expires } = await createUser(running, 'alice')
    assert.equal(url, `https://proxy.example.test:443/web/invite/${token}`)
    assert.equal(Number(expires?.seconds ?? 0n) - Number(created?.seconds ?? 0n), 3600)
    const info = await running.caller('proxy').logins.getUserToken({ token })
    assert.deepEqual([info.user, info.purpose, info.totpRequired], ['alice', 'invite', true])
    assert.match(info.totpUri, /^otpauth:\/\/totp\/example\.test:alice@example\.test\?/)
    const event = (await running.events()).at(-1)
    assert.deepEqual([event?.code, event?.name], ['T6000I', 'alice'])
    assert.match(String(event?.user), /\.example\.test$/)
  })

  test('opens nothing without a code of the authenticator, nor with a short password, and then still opens', async () => {
    await using running = await runWithCodes()
    const { logins } = running.caller('proxy')
    const { token } = await createUser(running, 'alice')
    const { totpSecret } = await logins.getUserToken({ token })
    const totpCode = await generate({ secret: totpSecret, epoch: running.now().getTime() / 1000 })
    await assert.rejects(logins.redeemUserToken({ token, password, totpCode: '' }), InvalidInput)
    await assert.rejects(logins.redeemUserToken({ token, password, totpCode: '000000' }), InvalidInput)
    await assert.rejects(logins.redeemUserToken({ token, password: 'short', totpCode }), InvalidInput)
    await logins.redeemUserToken({ token, password, totpCode })
    await assert.rejects(logins.redeemUserToken({ token, password, totpCode }), NotFound)
    assert.deepEqual(
      (await running.events()).slice(-2).map(({ code }) => code),
      ['T1005I', 'T1006I'],
    )
  })

  test('is not made for a user who exists, nor with a life out of bounds', async () => {
    await using running = await runWithCodes()
    await createUser(running, 'alice')
    await assert.rejects(createUser(running, 'alice'), { code: 'already-exists' })
    const json = JSON.stringify({ kind: 'user', metadata: { name: 'bob' }, spec: { roles: ['plain'] } })
    const { users, resources } = running.caller('admin')
    await assert.rejects(users.createUser({ user: { json }, ttlSeconds: 49n * 3600n }), InvalidInput)
    await assert.rejects(resources.get({ kind: 'user', name: 'bob' }), NotFound)
  })

  test('of a user who was removed opens nothing', async () => {
    await using running = await runWithCodes()
    const { token } = await createUser(running, 'alice')
    await running.caller('admin').resources.delete({ kind: 'user', name: 'alice' })
    await assert.rejects(running.caller('proxy').logins.getUserToken({ token }), NotFound)
  })
})

suite('a login', () => {
  test('gives a certificate that says who, with which roles, from where, and for how long', async () => {
    await using running = await runWithCodes()
    await running.create(
      role('short', { aws_role_arns: ['arn:aws:iam::123456789012:role/R'] }, { max_session_ttl: '2h' }),
    )
    const alice = await signUp(running, 'alice', ['plain', 'short'])
    const { certificatePem } = await alice.finish({ totpCode: await alice.code(), ttlSeconds: BigInt(50 * 3600) })
    const identity = decodeIdentity(parseCertificate(certificatePem), 'user')
    assert.deepEqual([identity.name, identity.roles, identity.loginIp], ['alice', ['plain', 'short'], HOME])
    assert.ok(Math.abs(identity.expires.getTime() - running.now().getTime() - 2 * HOUR) < 5_000)
    const [login, issued] = (await running.events()).slice(-2)
    assert.deepEqual([login?.code, login?.user, login?.['addr.remote']], ['T1000I', 'alice', HOME])
    assert.equal(issued?.code, 'TC000I')
  })

  test('needs password and code, and every way to fail has one text and an event', async () => {
    await using running = await runWithCodes()
    const alice = await signUp(running, 'alice')
    const totpCode = await alice.code()
    for (const wrong of [
      { user: 'nobody-of-that-name', totpCode },
      { password: 'not the password', totpCode },
      { totpCode: '000000' },
      { totpCode: '' },
    ]) {
      await assert.rejects(alice.finish(wrong), (error: unknown) => {
        assert.ok(error instanceof AccessDenied)
        assert.equal(error.message, 'invalid username, password or second factor')
        return true
      })
      assert.equal((await running.events()).at(-1)?.code, 'T1000W')
    }
    await alice.finish({ totpCode })
  })

  test('uses a code up, also when the service starts again in between', async () => {
    await using running = await runWithCodes()
    const alice = await signUp(running, 'alice')
    const totpCode = await alice.code()
    await alice.finish({ totpCode })
    await assert.rejects(alice.finish({ totpCode }), AccessDenied)
    await running.restart()
    await running.caller('admin').resources.upsert({
      document: { json: JSON.stringify({ kind: 'cluster_auth_preference', spec: { second_factor: 'otp' } }) },
      confirm: true,
    })
    const { logins } = running.caller('proxy')
    const again = { user: 'alice', password, totpCode, publicKeyPem: keyPem(), clientAddress: HOME }
    await assert.rejects(logins.finishLogin(again), AccessDenied)
  })

  test('with one code in two places at the same time succeeds in one', async () => {
    await using running = await runWithCodes()
    const alice = await signUp(running, 'alice')
    const totpCode = await alice.code()
    const outcomes = await Promise.allSettled([alice.finish({ totpCode }), alice.finish({ totpCode })])
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  })

  test('says before the code whether one is needed, and refuses a wrong password there', async () => {
    await using running = await runWithCodes()
    await signUp(running, 'alice')
    const { logins } = running.caller('proxy')
    assert.equal((await logins.beginLogin({ user: 'alice', password, clientAddress: HOME })).totp, true)
    await assert.rejects(logins.beginLogin({ user: 'alice', password: 'wrong', clientAddress: HOME }), AccessDenied)
    await assert.rejects(logins.beginLogin({ user: 'nobody', password, clientAddress: HOME }), AccessDenied)
  })

  test('is refused while a lock is in force, for a locked user, and without roles', async () => {
    await using running = await runAuth({}, ['plain'])
    const { logins } = running.caller('proxy')
    const finish = () =>
      logins.finishLogin({ user: 'plain-user', password, publicKeyPem: keyPem(), clientAddress: HOME })
    const { resources } = running.caller('admin')
    await running.create({
      kind: 'lock',
      metadata: { name: 'l' },
      spec: { target: { role: 'plain' }, message: 'drill' },
    })
    await assert.rejects(finish(), /lock targeting Role:"plain" is in force: drill/)
    await resources.delete({ kind: 'lock', name: 'l' })
    const locked = {
      kind: 'user',
      metadata: { name: 'plain-user' },
      spec: { roles: ['plain'], status: { is_locked: true } },
    }
    await resources.update({ document: { json: JSON.stringify(locked) } })
    await assert.rejects(finish(), /locked/)
    const bare = { kind: 'user', metadata: { name: 'plain-user' }, spec: { roles: [] } }
    await resources.update({ document: { json: JSON.stringify(bare) } })
    await assert.rejects(finish(), /no roles/)
  })

  test('is off when the cluster says so', async () => {
    await using running = await runAuth({}, ['plain'])
    const off = { kind: 'cluster_auth_preference', spec: { second_factor: 'off', allow_local_auth: false } }
    await running.caller('admin').resources.upsert({ document: { json: JSON.stringify(off) }, confirm: true })
    await assert.rejects(
      running.caller('proxy').logins.beginLogin({ user: 'plain-user', password, clientAddress: HOME }),
      /turned off/,
    )
  })
})

suite('guessing', () => {
  const guess = (running: RunningAuth, user: string, address: string, secret = 'a wrong guess') =>
    running.caller('proxy').logins.beginLogin({ user, password: secret, clientAddress: address })

  test('five wrong guesses lock the account for strangers, even with the right password, and for half an hour', async () => {
    await using running = await runAuth({}, ['plain'])
    for (let count = 0; count < 5; count++) await assert.rejects(guess(running, 'plain-user', `198.51.100.${count}`))
    await assert.rejects(guess(running, 'plain-user', '203.0.113.9', password), /maximum failed login attempts/)
    running.pass(30 * 60_000)
    await guess(running, 'plain-user', '203.0.113.9', password)
  })

  test('the owner still gets in from where they logged in before', async () => {
    await using running = await runAuth({}, ['plain'])
    for (let count = 0; count < 6; count++) await assert.rejects(guess(running, 'plain-user', '198.51.100.1'))
    await guess(running, 'plain-user', '192.0.2.10', password)
  })

  test('an account that does not exist locks with the same text', async () => {
    await using running = await runAuth({}, ['plain'])
    for (let count = 0; count < 5; count++) await assert.rejects(guess(running, 'nobody', HOME), /invalid username/)
    await assert.rejects(guess(running, 'nobody', HOME), /maximum failed login attempts/)
  })

  test('many guesses at the same time get no more tries than one after the other', async () => {
    await using running = await runAuth({}, ['plain'])
    const guesses = Array.from({ length: 30 }, (_, index) =>
      guess(running, 'plain-user', HOME, index === 29 ? password : `no ${index}`),
    )
    const outcomes = await Promise.allSettled(guesses)
    assert.ok(outcomes.every(({ status }) => status === 'rejected'))
  })

  test('the local administrator unlocks with a reset, a new link or by clearing the flag', async () => {
    await using running = await runAuth({}, ['plain'])
    for (let count = 0; count < 5; count++) await assert.rejects(guess(running, 'plain-user', HOME))
    const unlocked = {
      kind: 'user',
      metadata: { name: 'plain-user' },
      spec: { roles: ['plain'], status: { is_locked: false } },
    }
    await running.caller('admin').resources.update({ document: { json: JSON.stringify(unlocked) } })
    await guess(running, 'plain-user', HOME, password)
  })
})

suite('a reset', () => {
  test('makes password and devices void at once, and its link sets new ones', async () => {
    await using running = await runWithCodes()
    const alice = await signUp(running, 'alice')
    const { token, url } = await running.caller('admin').users.resetUser({ name: 'alice' })
    assert.match(url, /\/web\/reset\//)
    await assert.rejects(alice.login(), AccessDenied)
    const { logins } = running.caller('proxy')
    const { totpSecret, purpose } = await logins.getUserToken({ token })
    assert.equal(purpose, 'reset')
    const totpCode = await generate({ secret: totpSecret, epoch: running.now().getTime() / 1000 })
    await logins.redeemUserToken({ token, password: 'another password', totpCode })
    await assert.rejects(alice.login(), AccessDenied)
  })

  test('of a user who does not exist is refused', async () => {
    await using running = await runAuth({}, ['plain'])
    await assert.rejects(running.caller('admin').users.resetUser({ name: 'nobody' }), NotFound)
  })
})

suite('what users do themselves', () => {
  test('a new password needs the old one and a code', async () => {
    await using running = await runWithCodes()
    const alice = await signUp(running, 'alice')
    const { users } = await alice.login()
    running.pass(60_000)
    const change = { oldPassword: password, newPassword: 'the next password' }
    await assert.rejects(users.changePassword({ ...change, totpCode: '000000' }), AccessDenied)
    await assert.rejects(
      users.changePassword({ ...change, newPassword: 'short', totpCode: await alice.code() }),
      InvalidInput,
    )
    await users.changePassword({ ...change, totpCode: await alice.code() })
    running.pass(60_000)
    await assert.rejects(alice.finish({ totpCode: await alice.code() }), AccessDenied)
    await alice.finish({ password: 'the next password', totpCode: await alice.code() })
  })

  test('a second device needs a code of the first, and the last one stays', async () => {
    await using running = await runWithCodes()
    const alice = await signUp(running, 'alice')
    const { users } = await alice.login()
    running.pass(60_000)
    await assert.rejects(users.beginAddMfaDevice({ name: 'tablet', totpCode: '000000' }), AccessDenied)
    const begun = await users.beginAddMfaDevice({ name: 'tablet', totpCode: await alice.code() })
    const codeOfTablet = () => generate({ secret: begun.totpSecret, epoch: running.now().getTime() / 1000 })
    await assert.rejects(users.finishAddMfaDevice({ enrolmentId: begun.enrolmentId, totpCode: '000000' }), InvalidInput)
    await users.finishAddMfaDevice({ enrolmentId: begun.enrolmentId, totpCode: await codeOfTablet() })
    assert.deepEqual(
      (await users.listMfaDevices({})).devices.map(({ name, type }) => [name, type]),
      [
        ['phone', 'TOTP'],
        ['tablet', 'TOTP'],
      ],
    )
    running.pass(60_000)
    await assert.rejects(users.deleteMfaDevice({ device: 'radio', totpCode: await codeOfTablet() }), NotFound)
    await users.deleteMfaDevice({ device: 'phone', totpCode: await codeOfTablet() })
    running.pass(60_000)
    await assert.rejects(users.deleteMfaDevice({ device: 'tablet', totpCode: await codeOfTablet() }), Conflict)
  })

  test('nobody finishes the enrolment of another', async () => {
    await using running = await runAuth({}, ['plain'])
    const mallory = await running.login('mallory', ['plain'])
    const { enrolmentId, totpSecret } = await running.caller('plain').users.beginAddMfaDevice({ name: 'phone' })
    const totpCode = await generate({ secret: totpSecret, epoch: running.now().getTime() / 1000 })
    await assert.rejects(mallory.users.finishAddMfaDevice({ enrolmentId, totpCode }), NotFound)
    await running.caller('plain').users.finishAddMfaDevice({ enrolmentId, totpCode })
  })

  test('a reissued certificate ends with its parent and has no role that was taken away', async () => {
    await using running = await runAuth({}, ['plain'])
    await running.create(role('extra', {}))
    const bob = await running.login('bob', ['plain', 'extra'])
    const parent = decodeIdentity(parseCertificate(bob.certificate?.cert ?? ''), 'user')
    running.pass(HOUR)
    const longer = await bob.users.reissueCertificate({ publicKeyPem: keyPem(), ttlSeconds: BigInt(30 * 3600) })
    const reissued = decodeIdentity(parseCertificate(longer.certificatePem), 'user')
    assert.deepEqual([reissued.name, reissued.roles], [parent.name, parent.roles])
    assert.ok(reissued.expires <= parent.expires)
  })
})
