/** Pins are read strictly, and every certificate must match one. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { issueCertificate } from '#pki/certificate.ts'
import { generateKeyPair, spkiSha256 } from '#pki/key.ts'
import { checkCaPins, InvalidCaPin, readCaPins, WrongCaPin } from './ca-pin.ts'

const PIN = `sha256:${'ab'.repeat(32)}`

function authority(): { pem: string; pin: string } {
  const { publicKey, privateKey } = generateKeyPair('ed25519')
  const name = [['2.5.4.3', 'example.com']] as const
  const { pem } = issueCertificate({
    subject: name,
    publicKey,
    issuer: { name, privateKey },
    notBefore: new Date('2026-06-01T00:00:00Z'),
    notAfter: new Date('2036-06-01T00:00:00Z'),
    isCa: true,
    keyUsage: ['keyCertSign'],
  })
  return { pem, pin: `sha256:${spkiSha256(publicKey).toString('hex')}` }
}

suite('ca_pin', () => {
  const files: Readonly<Record<string, string>> = { '/pin': `${PIN}\n`, '/nothing': '', '/two': `${PIN}\n${PIN}\n` }
  const readFile = async (path: string): Promise<string> => files[path] ?? assert.fail(`no file ${path}`)

  for (const [says, values, pins] of [
    ['may be a pin', [PIN], [PIN]],
    ['may be the path of a file with a pin', ['/pin'], [PIN]],
    ['may be several', [PIN, '/pin'], [PIN, PIN]],
    ['may be in upper case', [PIN.toUpperCase().replace('SHA', 'sha')], [PIN]],
    ['may be a single empty text: no pin', [''], []],
    ['may be absent', [], []],
  ] as const) {
    test(says, async () => assert.deepEqual(await readCaPins(values, readFile), pins))
  }

  for (const [says, value, text] of [
    ['a hash that is too short', 'sha256:abcd', /ca_pin holds "sha256:abcd"/],
    ['another hash', `md5:${'ab'.repeat(16)}`, /not a CA pin/],
    ['a relative path', 'pin.txt', /not a CA pin/],
    ['a file that is not there', '/missing', /file \/missing, which cannot be read/],
    ['an empty file', '/nothing', /the file \/nothing holds/],
    ['a file with two pins', '/two', /the file \/two holds/],
  ] as const) {
    test(`may not be ${says}`, async () => {
      await assert.rejects(
        readCaPins([value], readFile),
        (error) => error instanceof InvalidCaPin && text.test(error.message),
      )
    })
  }
})

suite('the authorities that a cluster presents', () => {
  const [first, second] = [authority(), authority()]

  test('pass when each matches a pin', () => {
    checkCaPins([first.pem, second.pem], [second.pin, first.pin], 'example.com:443')
    checkCaPins([first.pem], [first.pin, second.pin], 'example.com:443')
  })

  for (const [says, certificates, pins] of [
    ['when one of two matches none', [first.pem, second.pem], [first.pin]],
    ['when none matches', [first.pem], [second.pin]],
    ['when there is no pin', [first.pem], []],
  ] as const) {
    test(`are refused ${says}`, () => {
      assert.throws(
        () => checkCaPins(certificates, pins, 'example.com:443'),
        (error) =>
          error instanceof WrongCaPin &&
          /wrong CA pin: example.com:443/.test(error.message) &&
          /tctl status/.test(error.hint),
      )
    })
  }
})
