import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { type Destination, destinationOf } from './routes.ts'
import { TokenBuckets } from './token-buckets.ts'
import { withoutVersion } from './web-server.ts'

const label = 'abcdefghijklmnopqrstuvwxyz'

suite('where a connection goes', () => {
  for (const { says, serverName, alpn = [], to } of [
    { says: 'the Auth Service', serverName: 'auth.rpc.example.com', alpn: ['h2'], to: { to: 'auth' } },
    { says: 'a tunnel', serverName: 'proxy.tunnel.example.com', alpn: ['access-tunnel/1'], to: { to: 'tunnel' } },
    {
      says: 'an app',
      serverName: `${label}.app.example.com`,
      alpn: ['http/1.1'],
      to: { to: 'agent', serverName: `${label}.app.example.com` },
    },
    {
      says: 'a Kubernetes cluster, whatever kubectl offers',
      serverName: `${label}.kube.example.com`,
      alpn: ['h2', 'http/1.1'],
      to: { to: 'agent', serverName: `${label}.kube.example.com` },
    },
    { says: 'a browser', serverName: 'proxy.example.com', alpn: ['h2', 'http/1.1'], to: { to: 'web' } },
    { says: 'a client that calls an address', alpn: ['http/1.1'], to: { to: 'web' } },
    { says: 'a client without ALPN', serverName: 'localhost', to: { to: 'web' } },
    {
      says: 'a public name that looks a little like ours',
      serverName: 'proxy.app.example.org',
      alpn: ['h2'],
      to: { to: 'web' },
    },
    {
      says: 'a tunnel without its protocol goes nowhere',
      serverName: 'proxy.tunnel.example.com',
      alpn: ['h2'],
      to: undefined,
    },
    {
      says: 'the tunnel protocol under another name goes nowhere',
      serverName: 'proxy.example.com',
      alpn: ['access-tunnel/1'],
      to: undefined,
    },
    { says: 'an unknown protocol goes nowhere', serverName: 'proxy.example.com', alpn: ['ssh'], to: undefined },
    {
      says: 'the Auth Service of another cluster goes nowhere',
      serverName: 'auth.rpc.example.org',
      alpn: ['h2'],
      to: undefined,
    },
    { says: 'an app of another cluster goes nowhere', serverName: `${label}.app.example.org`, to: undefined },
    {
      says: 'a tunnel of another cluster goes nowhere',
      serverName: 'proxy.tunnel.example.org',
      alpn: ['access-tunnel/1'],
      to: undefined,
    },
  ] satisfies { says: string; serverName?: string; alpn?: string[]; to: Destination | undefined }[]) {
    test(says, () => assert.deepEqual(destinationOf({ ...(serverName && { serverName }), alpn }, 'example.com'), to))
  }
})

suite('rates for each address', () => {
  const at = (seconds: number): Date => new Date(seconds * 1000)
  let now = at(0)
  const clock = (): Date => now

  test('a burst is allowed, then the lasting rate', () => {
    const buckets = new TokenBuckets({ perMinute: 60, burst: 3 }, clock)
    assert.deepEqual(
      [1, 2, 3, 4].map(() => buckets.take('a')),
      [true, true, true, false],
    )
    assert.equal(buckets.waitMs('a'), 1000)
    now = at(1)
    assert.deepEqual([buckets.take('a'), buckets.take('a')], [true, false])
    now = at(100)
    assert.deepEqual(
      [1, 2, 3, 4].map(() => buckets.take('a')),
      [true, true, true, false],
    )
  })

  test('one address does not use up what another has', () => {
    const buckets = new TokenBuckets({ perMinute: 1, burst: 1 }, clock)
    assert.deepEqual([buckets.take('a'), buckets.take('a'), buckets.take('b')], [true, false, true])
  })

  test('many addresses are forgotten once their buckets are full', () => {
    const buckets = new TokenBuckets({ perMinute: 60, burst: 1 }, clock)
    for (let index = 0; index < 10_001; index++) buckets.take(`old ${index}`)
    now = new Date(now.getTime() + 60_000)
    assert.equal(buckets.take('new'), true)
    assert.equal(buckets.size, 1)
  })
})

suite('the prefix /v1', () => {
  for (const [url, path] of [
    ['/v1/webapi/find', '/webapi/find'],
    ['/v1/webapi/ping?x=/v1/y', '/webapi/ping?x=/v1/y'],
    ['/v1/web', '/web'],
    ['/v1/.well-known/jwks.json', '/.well-known/jwks.json'],
    ['/v1/other', '/v1/other'],
    ['/v1', '/v1'],
    ['/v1//webapi', '/v1//webapi'],
    ['/v2/webapi/token', '/v2/webapi/token'],
    ['/v1/webapix', '/v1/webapix'],
  ] as const) {
    test(`${url} is ${path}`, () => assert.equal(withoutVersion(url), path))
  }
})
