import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressText, parseAddress } from './address.ts'

for (const [text, address] of [
  ['a.example.com', { host: 'a.example.com', port: 1 }],
  ['a.example.com:443', { host: 'a.example.com', port: 443 }],
  ['https://a.example.com:443/', { host: 'a.example.com', port: 443 }],
  ['10.0.0.1:0', { host: '10.0.0.1', port: 0 }],
  [':3080', { host: '0.0.0.0', port: 3080 }],
  ['[::1]:3025', { host: '::1', port: 3025 }],
  ['', { host: '0.0.0.0', port: 1 }],
  ['a b', undefined],
  ['a:70000', undefined],
  ['a:b', undefined],
  ['::1', undefined],
  ['user@a:1', undefined],
  ['a/b', undefined],
] as const) {
  test(`${JSON.stringify(text)} is ${address ? addressText(address) : 'no address'}`, () => {
    assert.deepEqual(parseAddress(text, 1, '0.0.0.0'), address)
  })
}
