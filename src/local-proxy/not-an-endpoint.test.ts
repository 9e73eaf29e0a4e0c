import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { answerNotAnEndpoint } from './not-an-endpoint.ts'

test('who takes the local proxy for an endpoint is told so, an AWS client in its own words', async (t) => {
  const server = http.createServer(answerNotAnEndpoint).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/` // TCP
  const says = 'this is an HTTPS proxy and no endpoint: set it as HTTPS_PROXY, and leave the endpoint URL out'
  const scope = 'AKIDEXAMPLE/20261120/us-east-1'
  const signed = (service: string): Record<string, string> => ({
    authorization: `AWS4-HMAC-SHA256 Credential=${scope}/${service}/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
  })
  for (const [headers, body] of [
    [{}, `${says}\n`],
    [{ authorization: 'Basic abc' }, `${says}\n`],
    [signed('s3'), `<Code>InvalidRequest</Code><Message>${says}</Message>`],
    [signed('sts'), `<Message>${says}</Message>`],
    [{ ...signed('dynamodb'), 'x-amz-target': 'DynamoDB_20120810.ListTables' }, says],
  ] as const) {
    const answer = await fetch(url, { headers })
    assert.equal(answer.status, 400)
    assert.ok((await answer.text()).includes(body))
  }
})
