import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { appFamily, awsConsolePartition, parseApp } from './app.ts'
import { parseAppServer } from './app-server.ts'

const app = (spec: object, metadata: object = {}) => ({ kind: 'app', metadata: { name: 'a', ...metadata }, spec })

suite('which URI is an AWS console', () => {
  for (const [uri, partition] of [
    ['https://console.aws.amazon.com', 'aws'],
    ['https://console.aws.amazon.com/ec2/v2/home?region=us-east-1', 'aws'],
    ['HTTPS://Console.AWS.amazon.com./', 'aws'],
    ['https://console.aws.amazon.com:443/', 'aws'],
    ['https://quicksight.aws.amazon.com', 'aws'],
    ['https://eu-central-1.console.aws.amazon.com/s3', 'aws'],
    ['https://ap-southeast-2.console.aws.amazon.com', 'aws'],
    ['https://console.amazonaws-us-gov.com', 'aws-us-gov'],
    ['https://console.amazonaws.cn/', 'aws-cn'],
    ['http://console.aws.amazon.com', undefined],
    ['https://console.aws.amazon.com:8443', undefined],
    ['https://user@console.aws.amazon.com', undefined],
    ['https://console.aws.amazon.com.evil.example', undefined],
    ['https://console.aws.amazon.com@evil.example', undefined],
    ['https://evilconsole.aws.amazon.com', undefined],
    ['https://aws-global.console.aws.amazon.com', undefined],
    ['https://cn-north-1.console.aws.amazon.com', undefined],
    ['https://us-gov-west-1.console.aws.amazon.com', undefined],
    ['https://x.us-east-1.console.aws.amazon.com', undefined],
    ['console.aws.amazon.com', undefined],
    ['cloud://AWS', undefined],
  ] as const) {
    test(`${uri}: ${partition ?? 'no'}`, () => assert.equal(awsConsolePartition(uri), partition))
  }
})

suite('what kind of app it is', () => {
  for (const [spec, family, cloud] of [
    [{ uri: 'https://console.aws.amazon.com/' }, 'aws', 'AWS'],
    [{ cloud: 'AWS' }, 'aws', 'AWS'],
    [{ cloud: 'Azure' }, 'azure', 'Azure'],
    [{ cloud: 'GCP', uri: 'cloud://GCP' }, 'gcp', 'GCP'],
    [{ uri: 'tcp://localhost:5432' }, 'tcp', undefined],
    [{ uri: 'http://localhost:8080' }, 'http', undefined],
  ] as const) {
    test(JSON.stringify(spec), () => {
      const parsed = parseApp(app(spec))
      assert.deepEqual([appFamily(parsed), parsed.spec.cloud], [family, cloud])
    })
  }
  test('a cloud alone gives its URI', () => assert.equal(parseApp(app({ cloud: 'Azure' })).spec.uri, 'cloud://Azure'))
})

suite('apps that may not be written', () => {
  for (const [document, problem] of [
    [app({}), 'app "a" URI is empty'],
    [app({ cloud: 'aws' }), 'app "a" has unexpected Cloud value "aws"'],
    [app({ uri: 'http://x', dynamic_labels: { 'a b': { command: ['x'] } } }), 'app "a" invalid label key: "a b"'],
    [app({ uri: 'http://x', rewrite: { jwt_claims: 'all' } }), 'app "a" has unexpected JWT rewrite value "all"'],
    [
      app({ uri: 'http://x', public_addr: 'https://a.example.com' }),
      'invalid PublicAddr format: it must be a host name without scheme, port and path',
    ],
    [
      app({ uri: 'http://x', public_addr: '10.0.0.1' }),
      'invalid PublicAddr format: it must be a host name without scheme, port and path',
    ],
    [
      app({ uri: 'http://x', public_addr: 'kube-teleport-proxy-alpn.x' }),
      'invalid PublicAddr format: it begins with a name that is reserved for internal use',
    ],
    [app({ uri: 'http://x', tcp_ports: [{ port: 10, end_port: 9 }] }), 'must be greater than port, or 0 for one port'],
    [app({ uri: 'http://x', tcp_ports: [{ port: 0 }] }), 'expected a whole number from 1 to 65535'],
    [app({ uri: 'no uri' }), 'app "a" URI "no uri" is not a URI'],
    [app({ uri: 'http://x' }, { name: 'A_b' }), 'app "A_b" name must be a valid DNS label'],
    [app({ uri: 'http://x' }, { labels: { 'a b': 'c' } }), 'invalid label key: "a b"'],
  ] as const) {
    test(problem, () => {
      assert.throws(() => parseApp(document), { name: 'InvalidResource', problem })
    })
  }
})

test('dynamic labels are taken as a map and as a list', () => {
  const { spec } = parseApp(app({ uri: 'http://x', dynamic_labels: [{ name: 'host', command: ['hostname'] }] }))
  assert.deepEqual(spec.dynamic_labels, { host: { command: ['hostname'], period: '1m0s' } })
})

test('the app in a heartbeat is parsed as one', () => {
  const server = { metadata: { name: 'h' }, spec: { host_id: 'h', app: app({ cloud: 'AWS' }) } }
  const parsed = parseAppServer(server)
  assert.equal(parsed.spec.app.spec.uri, 'cloud://AWS')
  assert.deepEqual(parseAppServer(JSON.parse(JSON.stringify(parsed))), parsed)
  assert.throws(() => parseAppServer({ ...server, spec: { host_id: 'h', app: app({}) } }), /URI is empty/)
  assert.throws(() => parseAppServer({ metadata: { name: 'h' }, spec: { host_id: 'h' } }), { name: 'InvalidResource' })
})
