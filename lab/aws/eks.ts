/** Amazon EKS: what its clusters are. @see Amazon EKS API Reference */
import { AwsError } from './aws-error.ts'
import { type Answer, type AwsService, type Call, callerOf, deniedText, mustBeAllowed, questionOf } from './call.ts'
import { decodePercent } from './percent.ts'

/** A cluster that the lab shows. */
export interface EksCluster {
  readonly name: string
  readonly region: string
  readonly accountId: string
  /** `https://oidc.eks.us-east-1.amazonaws.com/id/…` */
  readonly issuer: string
  readonly endpoint: string
  readonly certificateAuthority: string
}

/** ListClusters and DescribeCluster over the given clusters. */
export function eks(clusters: readonly EksCluster[]): AwsService {
  const of = (call: Call): readonly EksCluster[] =>
    clusters.filter(
      ({ accountId, region }) => accountId === callerOf(call).principal.account.id && region === call.endpoint.region,
    )
  return {
    name: 'eks',
    protocol: 'rest-json',
    wording: 'json',
    allowedSkewMs: 5 * 60_000,
    operationOf({ method, path }) {
      if (method !== 'GET') return undefined
      if (path === '/clusters') return 'ListClusters'
      return /^\/clusters\/[^/]+$/.test(path) ? 'DescribeCluster' : undefined
    },
    handle(call): Answer {
      const { account } = callerOf(call).principal
      const name = decodePercent(call.request.path.slice('/clusters/'.length))
      const arn = `arn:${account.partition}:eks:${call.endpoint.region}:${account.id}:cluster/${name}`
      const question = questionOf(call, `eks:${call.operation}`, call.operation === 'ListClusters' ? '*' : arn)
      mustBeAllowed(call, question, (because) => {
        return new AwsError('AccessDeniedException', 403, deniedText(callerOf(call).principal, question, because))
      })
      const headers = { 'content-type': 'application/json' }
      if (call.operation === 'ListClusters') {
        return { status: 200, headers, body: JSON.stringify({ clusters: of(call).map((cluster) => cluster.name) }) }
      }
      const cluster = of(call).find((candidate) => candidate.name === name)
      if (!cluster) throw new AwsError('ResourceNotFoundException', 404, `No cluster found for name: ${name}.`)
      const { issuer, endpoint, certificateAuthority } = cluster
      const body = {
        cluster: {
          name,
          arn,
          status: 'ACTIVE',
          version: '1.32',
          endpoint,
          identity: { oidc: { issuer } },
          certificateAuthority: { data: Buffer.from(certificateAuthority).toString('base64') },
        },
      }
      return { status: 200, headers, body: JSON.stringify(body) }
    },
  }
}
