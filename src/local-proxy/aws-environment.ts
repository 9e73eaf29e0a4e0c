/** The variables that make AWS clients use the local proxy: as exports for a shell, and as the environment of a child. */
import { coversAwsHost } from '#aws/endpoint.ts'
import type { PlaceholderCredentials } from './placeholder-credentials.ts'

/** Where the proxy is and what to use there. */
export interface AwsProxyFacts {
  /** `http://127.0.0.1:40123` */
  readonly url: string
  readonly caFile: string
  readonly credentials: PlaceholderCredentials
}

/** Names and values in the order in which they are shown. */
export type Variables = readonly (readonly [name: string, value: string])[]

/** The four variables that a shell needs. */
export function awsVariables({ url, caFile, credentials }: AwsProxyFacts): Variables {
  return [
    ['AWS_ACCESS_KEY_ID', credentials.accessKeyId],
    ['AWS_SECRET_ACCESS_KEY', credentials.secretAccessKey.reveal()],
    ['AWS_CA_BUNDLE', caFile],
    ['HTTPS_PROXY', url],
  ]
}

export interface ChildEnvironment {
  readonly env: Readonly<Record<string, string>>
  /** What the user set and what is not in force for the child. */
  readonly warnings: readonly string[]
}

/**
 * The parent's environment with the proxy in it. Whatever would choose other AWS credentials or another endpoint goes;
 * `NO_PROXY` stays but for entries that would take an AWS API host past us.
 */
export function childEnvironment(
  parent: Readonly<Record<string, string | undefined>>,
  facts: AwsProxyFacts,
): ChildEnvironment {
  const env: Record<string, string> = {}
  const cleared: string[] = []
  const warnings: string[] = []
  for (const [name, value] of Object.entries(parent)) {
    if (value === undefined || REPLACED.has(name.toUpperCase())) continue
    if (isForeignCredential(name)) {
      cleared.push(name)
    } else if (name.toUpperCase() === 'NO_PROXY') {
      const { kept, dropped } = filterNoProxy(value)
      env[name] = kept
      if (dropped.length > 0) {
        warnings.push(
          `${name}: ${dropped.join(', ')} would take AWS past ${facts.url} and is left out for this command`,
        )
      }
    } else {
      env[name] = value
    }
  }
  if (cleared.length > 0)
    warnings.push(`not passed on, because the AWS role comes from the app login: ${cleared.sort().join(', ')}`)
  for (const [name, value] of awsVariables(facts)) env[name] = value
  env.https_proxy = facts.url
  for (const name of CA_VARIABLES) env[name] = facts.caFile
  return { env, warnings }
}

/** Entries that name a domain of AWS APIs are dropped; everything else stays as it is. */
export function filterNoProxy(list: string): { readonly kept: string; readonly dropped: readonly string[] } {
  const entries = list.split(/[\s,]+/).filter((entry) => entry !== '')
  const isOurs = (entry: string): boolean => coversAwsHost(entry.replace(/:\d{1,5}$/, ''))
  return { kept: entries.filter((entry) => !isOurs(entry)).join(','), dropped: entries.filter(isOurs) }
}

/** Beside `AWS_CA_BUNDLE`: Python's requests, OpenSSL and Go, Node, and curl, which prefers its own to OpenSSL's. */
const CA_VARIABLES = ['REQUESTS_CA_BUNDLE', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS', 'CURL_CA_BUNDLE'] as const
const REPLACED: ReadonlySet<string> = new Set([
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
  'AWS_CA_BUNDLE',
  'HTTPS_PROXY',
  ...CA_VARIABLES,
])

/**
 * Variables by which AWS clients would find other credentials, or another endpoint than the one we stand in for.
 *
 * @see AWS SDKs and Tools "Environment variables list"
 */
function isForeignCredential(name: string): boolean {
  return FOREIGN.has(name) || name === 'AWS_ENDPOINT_URL' || name.startsWith('AWS_ENDPOINT_URL_')
}

const FOREIGN: ReadonlySet<string> = new Set([
  'AWS_ACCESS_KEY',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  'AWS_CONTAINER_CREDENTIALS_FULL_URI',
  'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  'AWS_CREDENTIAL_EXPIRATION',
  'AWS_DEFAULT_PROFILE',
  'AWS_PROFILE',
  'AWS_ROLE_ARN',
  'AWS_ROLE_SESSION_NAME',
  'AWS_SECRET_KEY',
  'AWS_SECURITY_TOKEN',
  'AWS_SESSION_TOKEN',
  'AWS_WEB_IDENTITY_TOKEN_FILE',
])
