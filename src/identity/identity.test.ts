/** Every fact of an identity survives the way into a certificate and back, and nothing ambiguous is accepted. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { type Certificate, issueCertificate, type Name, oids, parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair } from '#pki/key.ts'
import { InvalidIdentity } from './attributes.ts'
import { decodeIdentity } from './decode.ts'
import { encodeHostSubject, encodeUserSubject } from './encode.ts'
import { type HostIdentity, systemRoles, type UserIdentity } from './identity.ts'

const keys = generateKeyPair('ed25519')
const EXPIRES = new Date('2026-06-01T12:00:00Z')

/** A certificate with this subject, read back from its bytes. */
function certified(subject: Name): ReturnType<typeof parseCertificate> {
  const certificate: Certificate = issueCertificate({
    subject,
    publicKey: keys.publicKey,
    issuer: { name: [[oids.CN, 'ca']], privateKey: keys.privateKey },
    notBefore: new Date('2026-06-01T00:00:00Z'),
    notAfter: EXPIRES,
    keyUsage: ['digitalSignature'],
  })
  return parseCertificate(certificate.der)
}

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
const texts = fc.array(text, { maxLength: 4 })
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })

const userIdentity: fc.Arbitrary<UserIdentity> = fc
  .record({
    kind: fc.constant('user' as const),
    name: text,
    roles: fc.array(text, { minLength: 1, maxLength: 4 }),
    traits: fc.dictionary(text, texts, { noNullPrototype: true, maxKeys: 3 }),
    usage: optional(fc.subarray(['apps', 'kube'] as const)),
    cluster: text,
    expires: fc.constant(EXPIRES),
    routeToApp: optional(
      fc
        .record({
          name: text,
          sessionId: text,
          publicAddr: text,
          cluster: text,
          serverName: text,
          awsRoleArn: optional(text),
          azureIdentity: optional(text),
        })
        .map(withoutAbsent),
    ),
    routeToKube: optional(fc.record({ name: text, serverName: text }).map(withoutAbsent)),
    awsRoleArns: texts,
    azureIdentities: texts,
    kubeUsers: texts,
    kubeGroups: texts,
    mfaDeviceId: optional(text),
    loginIp: optional(text),
    userType: fc.constantFrom('local' as const, 'sso' as const),
    impersonator: optional(text),
    accessRequests: texts,
    botName: optional(text),
    botInstanceId: optional(text),
    isRenewable: fc.boolean(),
    generation: optional(fc.nat()),
    disallowReissue: fc.boolean(),
  })
  .map(withoutAbsent)

/** `exactOptionalPropertyTypes`: absent is not `undefined`. */
function withoutAbsent<T extends object>(value: T): never {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never
}

test('a user identity is the same after encoding and decoding', () => {
  fc.assert(
    fc.property(userIdentity, (identity) => {
      assert.deepEqual(decodeIdentity(certified(encodeUserSubject(identity)), 'user'), identity)
    }),
    { numRuns: 150 },
  )
})

test('a member identity is the same after encoding and decoding', () => {
  const member: fc.Arbitrary<HostIdentity> = fc.record(
    {
      kind: fc.constant('host' as const),
      hostId: fc.uuid(),
      nodeName: fc.string({ unit: 'binary', maxLength: 40 }),
      roles: fc.subarray([...systemRoles], { minLength: 1 }),
      cluster: fc.domain(),
      expires: fc.constant(EXPIRES),
    },
    { noNullPrototype: true },
  )
  fc.assert(
    fc.property(member, (identity) => {
      assert.deepEqual(decodeIdentity(certified(encodeHostSubject(identity)), 'host'), identity)
    }),
  )
})

suite('the subject of a user follows the published table', () => {
  const subject = encodeUserSubject({
    kind: 'user',
    name: 'alice',
    roles: ['access', 'aws-ro-access'],
    traits: { aws_role_arns: ['arn:aws:iam::123456789012:role/ReadOnly'] },
    usage: ['apps'],
    cluster: 'example.com',
    expires: EXPIRES,
    routeToApp: {
      name: 'awsconsole',
      sessionId: 'session-1',
      publicAddr: 'awsconsole.example.com',
      cluster: 'example.com',
      serverName: 'label.app.example.com',
      awsRoleArn: 'arn:aws:iam::123456789012:role/ReadOnly',
    },
    awsRoleArns: ['arn:aws:iam::123456789012:role/ReadOnly'],
    azureIdentities: [],
    kubeUsers: [],
    kubeGroups: [],
    userType: 'local',
    accessRequests: [],
    isRenewable: false,
    disallowReissue: false,
  })
  for (const [says, oid, values] of [
    ['CN is the user', '2.5.4.3', ['alice']],
    ['O is each role', '2.5.4.10', ['access', 'aws-ro-access']],
    ['OU is the usage', '2.5.4.11', ['usage:apps']],
    ['postalCode is the traits', '2.5.4.17', ['{"aws_role_arns":["arn:aws:iam::123456789012:role/ReadOnly"]}']],
    ['1.4 is the app session', '1.3.9999.1.4', ['session-1']],
    ['1.5 is the cluster of the app', '1.3.9999.1.5', ['example.com']],
    ['1.6 is the public address', '1.3.9999.1.6', ['awsconsole.example.com']],
    ['1.7 is the issuing cluster', '1.3.9999.1.7', ['example.com']],
    ['1.10 is the app', '1.3.9999.1.10', ['awsconsole']],
    ['1.11 is the chosen AWS role', '1.3.9999.1.11', ['arn:aws:iam::123456789012:role/ReadOnly']],
    ['1.12 is each allowed AWS role', '1.3.9999.1.12', ['arn:aws:iam::123456789012:role/ReadOnly']],
    ['1.20 is the user type', '1.3.9999.1.20', ['local']],
    ['renewable is left out unless true', '1.3.9999.1.13', []],
  ] as const) {
    test(says, () => {
      assert.deepEqual(
        subject.filter(([type]) => type === oid).map(([, value]) => value),
        values,
      )
    })
  }
})

suite('a user certificate is refused', () => {
  const user: Name = [
    [oids.CN, 'alice'],
    [oids.O, 'access'],
  ]
  for (const [says, subject, message] of [
    ['without a common name', [[oids.O, 'access']], 'missing identity username'],
    [
      'with an empty common name',
      [
        [oids.CN, ''],
        [oids.O, 'access'],
      ],
      'missing identity username',
    ],
    ['without a role', [[oids.CN, 'alice']], 'missing identity groups'],
    ['with two common names', [...user, [oids.CN, 'bob']], 'identity attribute 2.5.4.3 occurs more than once'],
    ['with traits that are not JSON', [...user, [oids.postalCode, '{']], 'the traits of the identity are not JSON'],
    [
      'with traits that are not lists',
      [...user, [oids.postalCode, '{"a":"b"}']],
      'the traits of the identity are not lists of text',
    ],
    [
      'with half a route to an app',
      [...user, ['1.3.9999.1.10', 'app']],
      'identity is missing application routing metadata',
    ],
    [
      'with an AWS role and no app',
      [...user, ['1.3.9999.1.11', 'arn']],
      'identity is missing application routing metadata',
    ],
    [
      'with half a route to a cluster',
      [...user, ['1.3.9999.1.3', 'kube']],
      'identity is missing Kubernetes routing metadata',
    ],
    [
      'with a generation that is no number',
      [...user, ['1.3.9999.1.14', '-1']],
      'the generation of the identity is not a number',
    ],
    ['with an unknown user type', [...user, ['1.3.9999.1.20', 'root']], 'the identity has an unknown user type'],
  ] as readonly (readonly [string, Name, string])[]) {
    test(says, () => {
      assert.throws(() => decodeIdentity(certified(subject), 'user'), new InvalidIdentity(message))
    })
  }

  test('unknown attributes are ignored', () => {
    const identity = decodeIdentity(
      certified([...user, ['1.3.9999.1.99', 'later'], ['1.3.9999.3.1', 'device']]),
      'user',
    )
    assert.equal(identity.name, 'alice')
  })

  test('a usage that is not known allows nothing', () => {
    assert.deepEqual(decodeIdentity(certified([...user, [oids.OU, 'usage:db']]), 'user').usage, [])
  })

  test('an organizational unit that is no usage restricts nothing', () => {
    assert.equal(decodeIdentity(certified([...user, [oids.OU, 'engineering']]), 'user').usage, undefined)
  })
})

suite('a member certificate is refused', () => {
  for (const [says, subject, message] of [
    ['without a common name', [[oids.O, 'App']], 'missing identity username'],
    [
      'without a cluster in its name',
      [
        [oids.CN, 'host'],
        [oids.O, 'App'],
      ],
      'the common name of a member is not its host id and its cluster',
    ],
    ['without a role', [[oids.CN, 'host.example.com']], 'missing identity groups'],
    [
      'with a role that does not exist',
      [
        [oids.CN, 'host.example.com'],
        [oids.O, 'access'],
      ],
      'missing identity groups',
    ],
    [
      'with two organizations',
      [
        [oids.CN, 'host.example.com'],
        [oids.O, 'App'],
        [oids.O, 'Auth'],
      ],
      'identity attribute 2.5.4.10 occurs more than once',
    ],
  ] as readonly (readonly [string, Name, string])[]) {
    test(says, () => {
      assert.throws(() => decodeIdentity(certified(subject), 'host'), new InvalidIdentity(message))
    })
  }

  test('a list of roles counts only under the role Instance', () => {
    const identity = decodeIdentity(
      certified([
        [oids.CN, 'host.example.com'],
        [oids.O, 'App'],
        ['1.3.9999.2.11', 'Auth'],
      ]),
      'host',
    )
    assert.deepEqual(identity.roles, ['App'])
  })
})

suite('an identity is not encoded', () => {
  const member: HostIdentity = {
    kind: 'host',
    hostId: 'host',
    nodeName: 'n',
    roles: ['App'],
    cluster: 'example.com',
    expires: EXPIRES,
  }
  for (const [says, identity, message] of [
    ['without a role', { ...member, roles: [] }, 'missing identity groups'],
    ['without a host id', { ...member, hostId: '' }, 'missing identity username'],
    ['with a host id that would end in the cluster', { ...member, hostId: 'a.b' }, 'the host id "a.b" has a dot'],
  ] as readonly (readonly [string, HostIdentity, string])[]) {
    test(says, () => assert.throws(() => encodeHostSubject(identity), new InvalidIdentity(message)))
  }
})
