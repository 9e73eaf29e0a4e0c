/** IAM policy documents: read strictly when written, then evaluated. */
import { AwsError } from './aws-error.ts'
import { type Condition, conditionsHold, parseConditions, type RequestContext } from './condition.ts'
import { globMatches, matchesGlob, parseGlob, type VariableLookup } from './glob.ts'

/** A parsed document. `text` is what was written and what `GetRolePolicy` gives back. */
export interface Policy {
  readonly text: string
  readonly hasVariables: boolean
  readonly statements: readonly Statement[]
}

/** Who a trust policy speaks of. An `AWS` value is `*`, an account id or an ARN. */
export interface PrincipalPattern {
  readonly kind: 'AWS' | 'Service' | 'Federated'
  readonly value: string
}

/** One statement of a policy. */
export interface Statement {
  readonly effect: 'Allow' | 'Deny'
  readonly actions: readonly string[]
  readonly notActions: boolean
  /** Empty in trust policies, which speak of the role they are on. */
  readonly resources: readonly string[]
  readonly notResources: boolean
  readonly principals: readonly PrincipalPattern[]
  readonly conditions: readonly Condition[]
}

/** What is asked: `s3:GetObject` on `arn:aws:s3:::reports/a.txt`. */
export interface Question {
  readonly action: string
  readonly resource: string
  readonly context: RequestContext
}

/** What one or several policies say about a question. */
export type Verdict = 'allow' | 'deny' | 'silent'

/**
 * Parses an identity policy (`Resource`, no `Principal`) or a trust policy (`Principal`, no `Resource`).
 *
 * @throws {AwsError} MalformedPolicyDocument, for whatever the lab would not evaluate too
 * @see IAM User Guide, "Grammar of the IAM JSON policy language"
 */
export function parsePolicy(text: string, kind: 'identity' | 'trust'): Policy {
  if (text.length > 20_480) throw new AwsError('LimitExceeded', 409, 'Cannot exceed quota for PolicySize: 20480')
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw malformed('This policy contains invalid Json')
  }
  const { Version, Statement, ...rest } = fields(document, ['Version', 'Id', 'Statement'])
  if (rest.Id !== undefined && typeof rest.Id !== 'string') throw malformed('Syntax errors in policy.')
  if (Version !== undefined && Version !== '2012-10-17' && Version !== '2008-10-17') {
    throw malformed('Syntax errors in policy.')
  }
  const statements = Array.isArray(Statement) ? Statement : [Statement]
  if (statements.length === 0) throw malformed('Syntax errors in policy.')
  return {
    text,
    hasVariables: Version === '2012-10-17',
    statements: statements.map((statement) => parseStatement(statement, kind)),
  }
}

/** Deny wins over allow; a statement that does not match says nothing. Trust policies are asked per principal. */
export function askPolicies(
  policies: readonly Policy[],
  question: Question,
  isPrincipal: (pattern: PrincipalPattern) => boolean = () => true,
): Verdict {
  let verdict: Verdict = 'silent'
  for (const policy of policies) {
    const variables = policy.hasVariables ? lookupIn(question.context) : undefined
    for (const statement of policy.statements) {
      if (statement.principals.length > 0 && !statement.principals.some(isPrincipal)) continue
      if (!statementMatches(statement, question, variables)) continue
      if (statement.effect === 'Deny') return 'deny'
      verdict = 'allow'
    }
  }
  return verdict
}

function statementMatches(
  statement: Statement,
  { action, resource, context }: Question,
  variables: VariableLookup | undefined,
): boolean {
  const lowerAction = action.toLowerCase()
  const named = statement.actions.some((pattern) => globMatches(pattern.toLowerCase(), lowerAction))
  if (named === statement.notActions) return false
  if (statement.resources.length > 0) {
    const covered = statement.resources.some((pattern) => {
      const glob = parseGlob(pattern, variables)
      return glob !== undefined && matchesGlob(glob, resource)
    })
    if (covered === statement.notResources) return false
  }
  return conditionsHold(statement.conditions, context, variables)
}

function lookupIn(context: RequestContext): VariableLookup {
  return (name) => {
    const value = context.get(name.toLowerCase())
    return typeof value === 'string' ? value : undefined
  }
}

function parseStatement(element: unknown, kind: 'identity' | 'trust'): Statement {
  const allowed = ['Sid', 'Effect', 'Action', 'NotAction', 'Condition']
  const statement = fields(element, [...allowed, ...(kind === 'trust' ? ['Principal'] : ['Resource', 'NotResource'])])
  const { Sid, Effect, Action, NotAction, Resource, NotResource, Principal } = statement
  if (Sid !== undefined && (typeof Sid !== 'string' || (kind === 'identity' && !/^[0-9A-Za-z]*$/.test(Sid)))) {
    throw malformed('Statement IDs (SID) in a single policy must be unique and alpha-numeric.')
  }
  if (Effect !== 'Allow' && Effect !== 'Deny') throw malformed('Syntax errors in policy.')
  if ((Action === undefined) === (NotAction === undefined)) throw malformed('Policy statement must contain actions.')
  const actions = strings(Action ?? NotAction)
  for (const action of actions) {
    if (action !== '*' && !/^[a-z0-9-]+:[A-Za-z0-9*?]+$/i.test(action)) {
      throw malformed('Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.')
    }
    if (kind === 'trust' && !/^(?:sts:|\*$)/i.test(action)) {
      throw malformed('AssumeRole policy may only specify STS AssumeRole actions.')
    }
  }
  return {
    effect: Effect,
    actions,
    notActions: Action === undefined,
    ...(kind === 'trust'
      ? { resources: [], notResources: false, principals: parsePrincipals(Principal) }
      : { ...parseResources(Resource, NotResource), principals: [] }),
    conditions: parseConditions(statement.Condition),
  }
}

function parseResources(Resource: unknown, NotResource: unknown): Pick<Statement, 'resources' | 'notResources'> {
  if ((Resource === undefined) === (NotResource === undefined)) {
    throw malformed('Policy statement must contain resources.')
  }
  const resources = strings(Resource ?? NotResource)
  for (const resource of resources) {
    if (resource !== '*' && !/^arn:[\w*-]+:[^:]*:[^:]*:[^:]*:.+$/.test(resource)) {
      throw malformed(`Resource ${resource} must be in ARN format or "*".`)
    }
  }
  return { resources, notResources: Resource === undefined }
}

function parsePrincipals(element: unknown): readonly PrincipalPattern[] {
  if (element === undefined) throw malformed('Missing required field Principal')
  if (element === '*') return [{ kind: 'AWS', value: '*' }]
  const principals: PrincipalPattern[] = []
  const byKind = fields(element, ['AWS', 'Service', 'Federated'])
  for (const kind of ['AWS', 'Service', 'Federated'] as const) {
    if (byKind[kind] === undefined) continue
    for (const value of strings(byKind[kind])) {
      if (value.includes('*') && !(kind === 'AWS' && value === '*')) throw invalidPrincipal(kind, value)
      principals.push({ kind, value })
    }
  }
  if (principals.length === 0) throw malformed('Missing required field Principal')
  return principals
}

/** The error for a principal that is not there, or not written as one. */
export function invalidPrincipal(kind: string, value: string): AwsError {
  return malformed(`Invalid principal in policy: "${kind}":"${value}"`)
}

function fields(element: unknown, names: readonly string[]): Record<string, unknown> {
  if (typeof element !== 'object' || element === null || Array.isArray(element)) {
    throw malformed('Syntax errors in policy.')
  }
  for (const name of Object.keys(element)) {
    if (!names.includes(name)) throw malformed(`Syntax errors in policy: ${name} is not known here.`)
  }
  return { ...element }
}

function strings(element: unknown): readonly string[] {
  const list: unknown[] = Array.isArray(element) ? element : [element]
  if (list.length === 0 || !list.every((item): item is string => typeof item === 'string' && item !== '')) {
    throw malformed('Syntax errors in policy.')
  }
  return list
}

const malformed = (message: string): AwsError => new AwsError('MalformedPolicyDocument', 400, message)
