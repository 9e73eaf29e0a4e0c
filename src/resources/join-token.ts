import { z } from 'zod'
import { type Draft, type Fail, resourceParser } from './envelope.ts'
import { duration, flag, labels, selector, strict, text, texts, untouched } from './schema.ts'

/** The system roles that a token may give, as they are spelled in resources. */
const tokenRoles = [
  'Auth',
  'Proxy',
  'Node',
  'Kube',
  'App',
  'Db',
  'WindowsDesktop',
  'Discovery',
  'Okta',
  'Bot',
  'Trusted_cluster',
  'MDM',
] as const
type TokenRole = (typeof tokenRoles)[number]

/** How a machine may prove itself. Methods without a block take what they need from `allow`, or from the token's name. */
const joinMethods = ['token', 'ec2', 'iam', ...blockMethods()] as const
export type JoinMethod = (typeof joinMethods)[number]

function blockMethods() {
  return [
    'kubernetes',
    'azure',
    'github',
    'gcp',
    'gitlab',
    'circleci',
    'bitbucket',
    'azure_devops',
    'spacelift',
    'terraform_cloud',
    'oracle',
    'tpm',
    'bound_keypair',
  ] as const
}

const githubRule = strict({
  sub: text.exactOptional().describe("Subject of the workflow's token."),
  repository: text.exactOptional().describe('`OWNER/NAME`.'),
  repository_owner: text.exactOptional().describe('Owner of the repository.'),
  workflow: text.exactOptional().describe('Name of the workflow.'),
  environment: text.exactOptional().describe('Name of the environment.'),
  actor: text.exactOptional().describe('Account that started the workflow.'),
  ref: text.exactOptional().describe('Git reference, such as `refs/heads/main`.'),
  ref_type: text.exactOptional().describe('`branch` or `tag`.'),
})

/** Blocks of methods that this product does not verify yet are kept as they are: joining with one is refused by name. */
const block = z.record(z.string(), untouched).describe('Kept as it is: this join method is not verified yet.')

const spec = strict({
  roles: texts.default([]).describe('System roles that whoever joins gets, such as `App` or `Proxy`; any case.'),
  join_method: text
    .exactOptional()
    .describe('How a machine proves itself; `token` where it is left out, `ec2` where `allow` is given.'),
  bot_name: text.exactOptional().describe('Bot that joins with it; only with the role `Bot`, and then needed.'),
  allow: z
    .array(
      strict({
        aws_account: text.exactOptional().describe('Account number.'),
        aws_arn: text.exactOptional().describe('ARN of the identity, with `*` and `?`; method `iam`.'),
        aws_role: text.exactOptional().describe('ARN of the role; method `ec2`.'),
        aws_regions: texts.exactOptional().describe('Regions of the instance; method `ec2`.'),
      }),
    )
    .exactOptional()
    .describe('Who may join, for the methods `iam` and `ec2`; one rule must fit.'),
  aws_iid_ttl: duration().exactOptional().describe('How old an instance identity document may be; method `ec2`.'),
  suggested_labels: selector.exactOptional().describe('Labels for what joins, which install scripts set.'),
  suggested_agent_matcher_labels: selector
    .exactOptional()
    .describe('Labels of resources that install scripts let the agent serve.'),
  /** Names and labels that whoever joins with the token may serve; left out: any. */
  serves: strict({
    names: texts.exactOptional().describe('Patterns of names.'),
    labels: labels.exactOptional().describe('Labels that they must have.'),
  })
    .exactOptional()
    .describe('Names and labels of apps that whoever joins with the token may serve; left out: any.'),
  kubernetes: strict({
    type: z
      .enum(['in_cluster', 'static_jwks', 'oidc'])
      .exactOptional()
      .describe('Where the keys come from that check service account tokens.'),
    allow: z
      .array(strict({ service_account: text.exactOptional().describe('`NAMESPACE:NAME`.') }))
      .default([])
      .describe('Service accounts that may join; one rule must fit.'),
    static_jwks: strict({ jwks: text.describe('A JSON Web Key Set, as JSON.') })
      .exactOptional()
      .describe('Keys of the cluster, for `static_jwks`.'),
    oidc: strict({
      issuer: text.describe('URL of the issuer.'),
      insecure_allow_http_issuer: flag.exactOptional().describe('Take an issuer without TLS: for test set-ups alone.'),
    })
      .exactOptional()
      .describe('Issuer of the cluster, for `oidc`.'),
  })
    .exactOptional()
    .describe('Settings of the method `kubernetes`.'),
  azure: strict({
    allow: z
      .array(
        strict({
          subscription: text.exactOptional().describe('Subscription id.'),
          resource_groups: texts.exactOptional().describe('Names of resource groups; left out: any.'),
        }),
      )
      .default([])
      .describe('Whose machines may join; one rule must fit.'),
  })
    .exactOptional()
    .describe('Settings of the method `azure`.'),
  github: strict({
    enterprise_server_host: text.exactOptional().describe('Host name of a GitHub Enterprise Server.'),
    enterprise_slug: text.exactOptional().describe('Slug of a GitHub enterprise, for its own issuer.'),
    static_jwks: text.exactOptional().describe('Keys that check tokens, as JSON, where the issuer cannot be reached.'),
    allow: z.array(githubRule).default([]).describe('Workflows that may join; one rule must fit.'),
  })
    .exactOptional()
    .describe('Settings of the method `github`.'),
  gcp: block.exactOptional(),
  gitlab: block.exactOptional(),
  circleci: block.exactOptional(),
  bitbucket: block.exactOptional(),
  azure_devops: block.exactOptional(),
  spacelift: block.exactOptional(),
  terraform_cloud: block.exactOptional(),
  oracle: block.exactOptional(),
  tpm: block.exactOptional(),
  bound_keypair: block.exactOptional(),
})

/**
 * Takes a join token, version v2. The name of a token whose method is `token` is its secret.
 * @throws {InvalidResource}
 */
export const parseJoinToken = resourceParser({ kind: 'token', versions: ['v2'], spec, status: true, finish })

/** What lets machines join: `{ metadata: { name }, spec: { roles: ['App'], join_method: 'token' } }`. */
export type JoinToken = ReturnType<typeof parseJoinToken>

type TokenDraft = Draft<z.output<typeof spec>>

function finish(token: TokenDraft, fail: Fail): TokenDraft {
  const { allow } = token.spec
  const roles = token.spec.roles.map((role, index) => canonicalRole(role, ['spec', 'roles', index], fail))
  if (roles.length === 0) fail(['spec', 'roles'], 'provisioning token is missing roles')
  if (roles.includes('Bot') && !token.spec.bot_name) {
    fail(['spec', 'bot_name'], 'token with role "Bot" must set bot_name')
  }
  if (!roles.includes('Bot') && token.spec.bot_name) {
    fail(['spec', 'bot_name'], 'can only set bot_name on token with role "Bot"')
  }
  const method = token.spec.join_method || (allow?.length ? 'ec2' : 'token')
  if (!(joinMethods as readonly string[]).includes(method)) {
    fail(
      ['spec', 'join_method'],
      `unknown join method ${JSON.stringify(method)}`,
      `use one of ${joinMethods.join(', ')}`,
    )
  }
  for (const name of blockMethods()) {
    if (method === name && !token.spec[name]) {
      fail(['spec', name], `"${name}" configuration must be provided for join method "${name}"`)
    }
  }
  checkMethod(token.spec, method, fail)
  return { ...token, spec: { ...token.spec, roles: [...new Set(roles)], join_method: method } }
}

/** `app`, `APP` and `App` are one role; the reference's own spelling is what is stored. */
function canonicalRole(role: string, path: readonly PropertyKey[], fail: Fail): TokenRole {
  const known = tokenRoles.find((known) => known.toLowerCase() === role.trim().toLowerCase())
  return known ?? fail(path, `role ${JSON.stringify(role)} is not registered`, `use one of ${tokenRoles.join(', ')}`)
}

function checkMethod({ allow = [], ...spec }: TokenDraft['spec'], method: string, fail: Fail): void {
  const at = (index: number, field: string): readonly PropertyKey[] => ['spec', 'allow', index, field]
  if (method === 'token' && allow.length > 0) {
    fail(['spec', 'allow'], 'allow rules are not compatible with the "token" join method')
  }
  if (method === 'iam' || method === 'ec2') {
    if (allow.length === 0) fail(['spec', 'allow'], `the "${method}" join method requires defined token allow rules`)
  }
  allow.forEach((rule, index) => {
    if (method === 'iam') {
      if (rule.aws_role) fail(at(index, 'aws_role'), 'the "iam" join method does not support the "aws_role" parameter')
      if (rule.aws_regions?.length) {
        fail(at(index, 'aws_regions'), 'the "iam" join method does not support the "aws_regions" parameter')
      }
      if (!rule.aws_account && !rule.aws_arn) {
        fail(at(index, 'aws_account'), 'allow rule for "iam" join method must set "aws_account" or "aws_arn"')
      }
    }
    if (method === 'ec2') {
      if (rule.aws_arn) fail(at(index, 'aws_arn'), 'the "ec2" join method does not support the "aws_arn" parameter')
      if (!rule.aws_account && !rule.aws_role) {
        fail(at(index, 'aws_account'), 'allow rule for "ec2" join method must set "aws_account" or "aws_role"')
      }
    }
  })
  if (method === 'kubernetes') checkKubernetes(spec.kubernetes, fail)
  if (method === 'github') checkGithub(spec.github, fail)
  if (method === 'azure') {
    const rules = spec.azure?.allow ?? []
    if (rules.length === 0)
      fail(['spec', 'azure', 'allow'], 'the "azure" join method requires defined azure allow rules')
    rules.forEach((rule, index) => {
      if (!rule.subscription) {
        fail(
          ['spec', 'azure', 'allow', index, 'subscription'],
          'the "azure" join method requires azure allow rules with non-empty subscription',
        )
      }
    })
  }
}

function checkKubernetes(settings: TokenDraft['spec']['kubernetes'], fail: Fail): void {
  const rules = settings?.allow ?? []
  if (rules.length === 0) {
    fail(['spec', 'kubernetes', 'allow'], 'the "kubernetes" join method requires defined kubernetes allow rules')
  }
  rules.forEach((rule, index) => {
    const path = ['spec', 'kubernetes', 'allow', index, 'service_account']
    if (!rule.service_account) {
      fail(path, 'the "kubernetes" join method requires kubernetes allow rules with non-empty service account name')
    } else if (!/^[^:\s]+:[^:\s]+$/.test(rule.service_account)) {
      fail(path, 'the service account must be written as "namespace:name"')
    }
  })
  for (const type of ['static_jwks', 'oidc'] as const) {
    if (settings?.type === type && !settings[type]) {
      fail(['spec', 'kubernetes', type], `must be set where type is "${type}"`)
    }
  }
}

function checkGithub(settings: TokenDraft['spec']['github'], fail: Fail): void {
  const { enterprise_server_host: host = '', enterprise_slug: slug = '', allow: rules = [] } = settings ?? {}
  if (host.includes('/')) {
    fail(
      ['spec', 'github', 'enterprise_server_host'],
      "'spec.github.enterprise_server_host' should not contain the scheme or path",
    )
  }
  if (host && slug) {
    fail(
      ['spec', 'github', 'enterprise_slug'],
      "'spec.github.enterprise_server_host' and 'spec.github.enterprise_slug' cannot both be set",
    )
  }
  if (rules.length === 0) {
    fail(['spec', 'github', 'allow'], 'the "github" join method requires at least one token allow rule')
  }
  rules.forEach((rule, index) => {
    if (!rule.repository && !rule.repository_owner && !rule.sub) {
      fail(
        ['spec', 'github', 'allow', index],
        'allow rule for "github" must include at least one of "repository", "repository_owner" or "sub"',
      )
    }
  })
}
