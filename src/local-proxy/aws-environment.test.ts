import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { Secret } from '#secret.ts'
import { childEnvironment, filterNoProxy } from './aws-environment.ts'
import { assignment, awsProxyText } from './aws-formats.ts'

const facts = {
  url: 'http://127.0.0.1:23456',
  caFile: '/home/a/.tsh/app-localca.pem',
  credentials: { accessKeyId: 'PLACEHOLDERX', secretAccessKey: new Secret('s3cret') },
}

suite('the environment of a child', () => {
  test('has the proxy, the placeholders and the CA for every kind of client', () => {
    const { env, warnings } = childEnvironment({ HOME: '/home/a', AWS_REGION: 'eu-west-1', UNSET: undefined }, facts)
    assert.deepEqual(env, {
      HOME: '/home/a',
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: 'PLACEHOLDERX',
      AWS_SECRET_ACCESS_KEY: 's3cret',
      AWS_CA_BUNDLE: facts.caFile,
      HTTPS_PROXY: facts.url,
      https_proxy: facts.url,
      REQUESTS_CA_BUNDLE: facts.caFile,
      SSL_CERT_FILE: facts.caFile,
      NODE_EXTRA_CA_CERTS: facts.caFile,
      CURL_CA_BUNDLE: facts.caFile,
    })
    assert.deepEqual(warnings, [])
  })

  test('has nothing that chooses other credentials or another endpoint, and says what went', () => {
    const { env, warnings } = childEnvironment(
      {
        AWS_PROFILE: 'p',
        AWS_SESSION_TOKEN: 't',
        AWS_ENDPOINT_URL_S3: 'http://x',
        Https_Proxy: 'x',
        AWS_ACCESS_KEY_ID: 'AKIA',
      },
      facts,
    )
    for (const name of ['AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_ENDPOINT_URL_S3', 'Https_Proxy'])
      assert.equal(env[name], undefined)
    assert.equal(env.AWS_ACCESS_KEY_ID, 'PLACEHOLDERX')
    assert.deepEqual(warnings, [
      'not passed on, because the AWS role comes from the app login: AWS_ENDPOINT_URL_S3, AWS_PROFILE, AWS_SESSION_TOKEN',
    ])
  })

  test('keeps NO_PROXY but for what would take AWS past us', () => {
    const { env, warnings } = childEnvironment({ no_proxy: 'localhost,.amazonaws.com' }, facts)
    assert.equal(env.no_proxy, 'localhost')
    assert.match(warnings[0] ?? '', /^no_proxy: \.amazonaws\.com would take AWS past/)
  })

  for (const [list, kept, dropped] of [
    ['', '', []],
    ['localhost, 10.0.0.0/8 example.com', 'localhost,10.0.0.0/8,example.com', []],
    ['*', '', ['*']],
    [
      's3.amazonaws.com:443,ssmmessages.us-east-1.amazonaws.com',
      'ssmmessages.us-east-1.amazonaws.com',
      ['s3.amazonaws.com:443'],
    ],
    ['169.254.169.254,::1,com', '169.254.169.254,::1', ['com']],
  ] as const) {
    test(`NO_PROXY=${list} becomes ${kept}`, () => assert.deepEqual(filterNoProxy(list), { kept, dropped }))
  }
})

suite('what "tsh proxy aws" prints', () => {
  test('for a Unix shell', () => {
    assert.equal(
      awsProxyText({ format: 'unix', app: 'awsconsole', facts, isRandomPort: true }),
      `
Started AWS proxy on http://127.0.0.1:23456.
To avoid port randomization, you can choose the listening port using the --port flag.

Use the following credentials and HTTPS proxy setting to connect to the proxy:
  export AWS_ACCESS_KEY_ID="PLACEHOLDERX"
  export AWS_SECRET_ACCESS_KEY="s3cret"
  export AWS_CA_BUNDLE="/home/a/.tsh/app-localca.pem"
  export HTTPS_PROXY="http://127.0.0.1:23456"
`,
    )
  })
  for (const [format, line] of [
    ['unix', 'export K="a\\"b\\$c"'],
    ['command-prompt', 'set K=a"b$c'],
    ['powershell', '$Env:K="a`"b`$c"'],
    ['text', 'K=a"b$c'],
  ] as const) {
    test(`as ${format}`, () => assert.equal(assignment(format, 'K', 'a"b$c'), line))
  }
  test('for Athena drivers', () => {
    const odbc = awsProxyText({
      format: 'athena-odbc',
      app: 'awsconsole',
      facts,
      isRandomPort: false,
      athena: { region: 'eu-west-1' },
    })
    assert.match(
      odbc,
      /\[Teleport AWS Athena Access\]\nAuthenticationType = IAM Credentials\nUID = PLACEHOLDERX\nPWD = s3cret\nUseProxy = 1\nProxyScheme = http\nProxyHost = 127\.0\.0\.1\nProxyPort = 23456\nTrustedCerts = /,
    )
    assert.match(odbc, /DRIVER=Simba Amazon Athena ODBC Connector;.*AWSRegion=eu-west-1;Workgroup=<workgroup>;/)
    assert.doesNotMatch(odbc, /randomization/)
    const jdbc = awsProxyText({ format: 'athena-jdbc', app: 'awsconsole', facts, isRandomPort: false })
    assert.match(jdbc, /keytool -noprompt -importcert -alias teleport-awsconsole -file .* -keystore <keystore>/)
    assert.match(
      jdbc,
      /jdbc:awsathena:\/\/User=PLACEHOLDERX;Password=s3cret;ProxyHost=127\.0\.0\.1;ProxyPort=23456;AwsRegion=<region>;Workgroup=<workgroup>;/,
    )
  })
  test('for several apps', () => {
    const text = awsProxyText({
      format: 'text',
      app: 'a',
      facts,
      isRandomPort: false,
      profiles: { file: '/f', names: ['a', 'b'] },
    })
    assert.match(
      text,
      /HTTPS proxy setting.*\n {2}AWS_CA_BUNDLE=.*\n {2}HTTPS_PROXY=.*\n\nChoose an app by its profile:\n {2}aws --profile a sts/,
    )
    assert.doesNotMatch(text, /s3cret/)
  })
})
