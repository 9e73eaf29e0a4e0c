/** What `tsh proxy aws` prints, in each of its formats. */
import { unreachable } from '#errors.ts'
import { type AwsProxyFacts, awsVariables, type Variables } from './aws-environment.ts'

export const awsFormats = ['unix', 'command-prompt', 'powershell', 'text', 'athena-odbc', 'athena-jdbc'] as const
type AwsFormat = (typeof awsFormats)[number]
type ShellFormat = Exclude<AwsFormat, 'athena-odbc' | 'athena-jdbc'>

export interface AwsProxyText {
  readonly format: AwsFormat
  readonly app: string
  readonly facts: AwsProxyFacts
  readonly isRandomPort: boolean
  /** What stands in for unknown values in the Athena formats; left out: `<region>`, `<keystore>`, `<workgroup>`. */
  readonly athena?: {
    readonly region?: string | undefined
    readonly keystore?: string | undefined
    readonly workgroup?: string | undefined
  }
  /** Several apps: the AWS config file that has them, one profile for each. */
  readonly profiles?: { readonly file: string; readonly names: readonly string[] }
}

/** The whole text, ending in a newline. */
export function awsProxyText(text: AwsProxyText): string {
  const { format, facts, isRandomPort } = text
  const started = [
    `Started AWS proxy on ${facts.url}.`,
    ...(isRandomPort ? ['To avoid port randomization, you can choose the listening port using the --port flag.'] : []),
  ]
  return `${['', ...started, '', ...body(text, format)].join('\n')}\n`
}

/** One assignment in the syntax of a shell: `export K="V"`. */
export function assignment(format: ShellFormat, name: string, value: string): string {
  switch (format) {
    case 'unix':
      return `export ${name}="${value.replace(/["\\$`]/g, '\\$&')}"`
    case 'command-prompt':
      return `set ${name}=${value}`
    case 'powershell':
      return `$Env:${name}="${value.replace(/["`$]/g, '`$&')}"`
    case 'text':
      return `${name}=${value}`
    default:
      throw unreachable(format)
  }
}

function body(text: AwsProxyText, format: AwsFormat): readonly string[] {
  switch (format) {
    case 'athena-odbc':
      return athenaOdbc(text)
    case 'athena-jdbc':
      return athenaJdbc(text)
    default: {
      const variables = text.profiles === undefined ? awsVariables(text.facts) : profileVariables(text.facts)
      return [
        text.profiles === undefined
          ? 'Use the following credentials and HTTPS proxy setting to connect to the proxy:'
          : 'Use the following HTTPS proxy setting to connect to the proxy:',
        ...variables.map(([name, value]) => `  ${assignment(format, name, value)}`),
        ...(text.profiles === undefined
          ? []
          : [
              '',
              'Choose an app by its profile:',
              ...text.profiles.names.map((name) => `  aws --profile ${name} sts get-caller-identity`),
              '',
              `The profiles are in ${text.profiles.file}. They stay when the proxy ends, and work again when it runs again.`,
              'To remove them, run "tsh proxy aws --undo" or log out of the apps.',
            ]),
      ]
    }
  }
}

function profileVariables({ url, caFile }: AwsProxyFacts): Variables {
  return [
    ['AWS_CA_BUNDLE', caFile],
    ['HTTPS_PROXY', url],
  ]
}

/** @see Simba Athena ODBC driver "Installation and Configuration Guide" */
function athenaOdbc({ facts, athena = {} }: AwsProxyText): readonly string[] {
  const { hostname, port, protocol } = new URL(facts.url)
  const properties: Variables = [
    ['AuthenticationType', 'IAM Credentials'],
    ['UID', facts.credentials.accessKeyId],
    ['PWD', facts.credentials.secretAccessKey.reveal()],
    ['UseProxy', '1'],
    ['ProxyScheme', protocol.replace(':', '')],
    ['ProxyHost', hostname],
    ['ProxyPort', port],
    ['TrustedCerts', facts.caFile],
  ]
  const all: Variables = [
    ['DRIVER', 'Simba Amazon Athena ODBC Connector'],
    ...properties,
    ['AWSRegion', athena.region ?? '<region>'],
    ['Workgroup', athena.workgroup ?? '<workgroup>'],
  ]
  return [
    'Set the following properties for the Athena ODBC data source:',
    '[Teleport AWS Athena Access]',
    ...properties.map(([name, value]) => `${name} = ${value}`),
    '',
    'Here is a sample connection string with the above credentials and proxy settings:',
    all.map(([name, value]) => `${name}=${value};`).join(''),
  ]
}

/** @see Simba Athena JDBC driver "Installation and Configuration Guide" */
function athenaJdbc({ app, facts, athena = {} }: AwsProxyText): readonly string[] {
  const { hostname, port } = new URL(facts.url)
  const properties: Variables = [
    ['User', facts.credentials.accessKeyId],
    ['Password', facts.credentials.secretAccessKey.reveal()],
    ['ProxyHost', hostname],
    ['ProxyPort', port],
  ]
  const all: Variables = [
    ...properties,
    ['AwsRegion', athena.region ?? '<region>'],
    ['Workgroup', athena.workgroup ?? '<workgroup>'],
  ]
  return [
    "First, add the following certificate to your keystore. For example, with Java's keytool:",
    `keytool -noprompt -importcert -alias teleport-${app} -file ${facts.caFile} -keystore ${athena.keystore ?? '<keystore>'}`,
    '',
    'Then, set the following properties in the JDBC application:',
    ...properties.map(([name, value]) => `${name} = ${value}`),
    '',
    'Here is a sample JDBC connection URL with the above credentials and proxy settings:',
    `jdbc:awsathena://${all.map(([name, value]) => `${name}=${value};`).join('')}`,
    '',
    'Note that a new app session may bring a new certificate. If the application fails with "remote error: tls: unknown certificate", import it again.',
  ]
}
