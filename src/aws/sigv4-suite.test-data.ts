/**
 * Facts of AWS's published SigV4 test suite (awslabs `aws-c-auth`, "aws-signing-test-suite/v4"): requests to `example.amazonaws.com`,
 * service `service`, region `us-east-1`, 30 August 2015 12:36 UTC, with the example key pair, and the signatures that AWS gives.
 */
export interface SuiteCase {
  readonly name: string
  readonly method: 'GET' | 'POST'
  readonly path?: string
  readonly query?: string
  /** Beside `Host` and the date. */
  readonly headers?: readonly string[]
  readonly token?: string
  readonly hash?: string
  readonly signedHeaders: string
  readonly signature: string
}

const plain = 'host;x-amz-date'
const mine = 'host;my-header1;x-amz-date'
const vanilla = '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'
const posted = '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'
const unreserved = '-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const form = '9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e'
const formHeaders = 'content-length;content-type;host;x-amz-content-sha256;x-amz-date'

export const suiteCases: readonly SuiteCase[] = [
  { name: 'get-vanilla', method: 'GET', signedHeaders: plain, signature: vanilla },
  {
    name: 'get-header-key-duplicate',
    method: 'GET',
    headers: ['My-Header1', 'value2', 'My-Header1', 'value2', 'My-Header1', 'value1'],
    signedHeaders: mine,
    signature: 'c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea',
  },
  {
    name: 'get-header-value-multiline',
    method: 'GET',
    headers: ['My-Header1', 'value1\n  value2\n     value3'],
    signedHeaders: mine,
    signature: 'cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd',
  },
  {
    name: 'get-header-value-order',
    method: 'GET',
    headers: ['My-Header1', 'value4', 'My-Header1', 'value1', 'My-Header1', 'value3', 'My-Header1', 'value2'],
    signedHeaders: mine,
    signature: '08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01',
  },
  {
    name: 'get-header-value-trim',
    method: 'GET',
    headers: ['My-Header1', ' value1', 'My-Header2', ' "a   b   c"'],
    signedHeaders: 'host;my-header1;my-header2;x-amz-date',
    signature: 'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
  },
  { name: 'get-relative', method: 'GET', path: '/example/..', signedHeaders: plain, signature: vanilla },
  {
    name: 'get-relative-relative',
    method: 'GET',
    path: '/example1/example2/../..',
    signedHeaders: plain,
    signature: vanilla,
  },
  { name: 'get-slash-dot-slash', method: 'GET', path: '/./', signedHeaders: plain, signature: vanilla },
  { name: 'get-slash', method: 'GET', path: '//', signedHeaders: plain, signature: vanilla },
  {
    name: 'get-slash-pointless-dot',
    method: 'GET',
    path: '/./example',
    signedHeaders: plain,
    signature: 'ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5',
  },
  {
    name: 'get-slashes',
    method: 'GET',
    path: '//example//',
    signedHeaders: plain,
    signature: '9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84',
  },
  {
    name: 'get-space',
    method: 'GET',
    path: '/example space/',
    signedHeaders: plain,
    signature: '652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741',
  },
  {
    name: 'get-unreserved',
    method: 'GET',
    path: `/${unreserved}`,
    signedHeaders: plain,
    signature: '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
  },
  {
    name: 'get-utf8',
    method: 'GET',
    path: '/\u1234',
    signedHeaders: plain,
    signature: '8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85',
  },
  {
    name: 'get-vanilla-empty-query-key',
    method: 'GET',
    query: 'Param1=value1',
    signedHeaders: plain,
    signature: 'a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb',
  },
  {
    name: 'get-vanilla-query-order-encoded',
    method: 'GET',
    query: 'Param-3=Value3&Param=Value2&%E1%88%B4=Value1',
    signedHeaders: plain,
    signature: '371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac',
  },
  {
    name: 'get-vanilla-query-order-key-case',
    method: 'GET',
    query: 'Param2=value2&Param1=value1',
    signedHeaders: plain,
    signature: 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  },
  {
    name: 'get-vanilla-query-order-value',
    method: 'GET',
    query: 'Param1=value2&Param1=value1',
    signedHeaders: plain,
    signature: '5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694',
  },
  {
    name: 'get-vanilla-query-unreserved',
    method: 'GET',
    query: `${unreserved}=${unreserved}`,
    signedHeaders: plain,
    signature: '9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197',
  },
  {
    name: 'get-vanilla-utf8-query',
    method: 'GET',
    query: '\u1234=bar',
    signedHeaders: plain,
    signature: '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04',
  },
  {
    name: 'get-vanilla-with-session-token',
    method: 'GET',
    token: '6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267',
    signedHeaders: 'host;x-amz-date;x-amz-security-token',
    signature: '07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8',
  },
  { name: 'post-vanilla', method: 'POST', signedHeaders: plain, signature: posted },
  {
    name: 'post-header-key-sort',
    method: 'POST',
    headers: ['My-Header1', 'value1'],
    signedHeaders: mine,
    signature: 'c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c',
  },
  {
    name: 'post-header-value-case',
    method: 'POST',
    headers: ['My-Header1', 'VALUE1'],
    signedHeaders: mine,
    signature: 'cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d',
  },
  {
    name: 'post-vanilla-query',
    method: 'POST',
    query: 'Param1=value1',
    signedHeaders: plain,
    signature: '28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11',
  },
  {
    name: 'post-x-www-form-urlencoded',
    method: 'POST',
    headers: [
      'Content-Type',
      'application/x-www-form-urlencoded',
      'Content-Length',
      '13',
      'x-amz-content-sha256',
      form,
    ],
    hash: form,
    signedHeaders: formHeaders,
    signature: 'd3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b',
  },
  {
    name: 'post-x-www-form-urlencoded-parameters',
    method: 'POST',
    headers: [
      ...['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8'],
      ...['Content-Length', '13', 'x-amz-content-sha256', form],
    ],
    hash: form,
    signedHeaders: formHeaders,
    signature: '328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422',
  },
]
