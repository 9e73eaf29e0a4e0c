import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { listen } from '#net/listen.ts'
import { sampleAuthority, sampleIdentity, samplePair, sampleRoute } from '#test/sample-login.ts'
import { dialApp } from './dial.ts'

suite('dialling an app', () => {
  const { certificatePem, privateKeyPem } = samplePair(sampleIdentity({ routeToApp: sampleRoute('awsconsole') }))
  const login = {
    app: 'awsconsole',
    egress: createEgress({}),
    serverName: 'label.app.example',
    certificate: certificatePem,
    key: privateKeyPem,
    hostAuthorities: [sampleAuthority('example').certificatePem],
  }

  test('says which app has no agent, when the proxy ends the connection', async () => {
    await using proxy = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket) => {
      socket.destroy()
    })
    await assert.rejects(dialApp({ ...login, proxyAddr: { host: '127.0.0.1', port: proxy.port } }), {
      code: 'unavailable',
      message: `no agent of app "awsconsole" answers through 127.0.0.1:${proxy.port}`,
      hint: /tsh apps ls/,
    })
  })
})
