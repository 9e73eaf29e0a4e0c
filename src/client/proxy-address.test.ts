import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { formatProxyAddress, parseProxyAddress, proxyUrl } from './proxy-address.ts'

suite('addresses of proxies', () => {
  for (const [text, host, port] of [
    ['access.example.com', 'access.example.com', 443],
    ['Access.Example.com:3080', 'access.example.com', 3080],
    ['https://access.example.com:443/', 'access.example.com', 443],
    ['127.0.0.1:1234', '127.0.0.1', 1234],
    ['[::1]:3080', '::1', 3080],
    ['::1', '::1', 443],
    [' localhost ', 'localhost', 443],
  ] as const) {
    test(text, () => assert.deepEqual(parseProxyAddress(text), { host, port }))
  }
  for (const text of [
    '',
    ':443',
    'a b',
    'http://a',
    'a:0',
    'a:99999',
    'a:x',
    'a/b',
    'user@a',
    'a..b',
    '-a',
    '[a]:1',
    'a:1:2',
  ]) {
    test(`${JSON.stringify(text)} is none`, () => assert.throws(() => parseProxyAddress(text), { code: 'invalid' }))
  }
  test('read back as they were written', () => {
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65535 }), (host, port) => {
        const address = { host: host.toLowerCase(), port }
        assert.deepEqual(parseProxyAddress(formatProxyAddress(address)), address)
      }),
    )
  })
  test('as URLs leave the usual port out', () => {
    assert.equal(proxyUrl({ host: 'a', port: 443 }), 'https://a')
    assert.equal(proxyUrl({ host: '::1', port: 3080 }), 'https://[::1]:3080')
  })
})
