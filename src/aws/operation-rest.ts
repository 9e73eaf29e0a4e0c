/** REST services whose operation stands in method and path. A path that no row names is `undefined`. */
import type { AwsRequestFacts } from './operation.ts'

/** Names the operation of a REST request. */
export function operationOfRest({ service, method, path }: AwsRequestFacts): string | undefined {
  if (service === 'execute-api') return `Invoke${method}`
  if (service === 'apigateway') return method
  if (service === 'es' || service === 'aoss') return `ESHttp${method.charAt(0)}${method.slice(1).toLowerCase()}`
  const parts = path.split('/').filter((part) => part !== '')
  // What is resolved on the way would be another path than the one that is named here.
  if (parts.some((part) => /^(\.|%2e){1,2}$/i.test(part))) return undefined
  if (!Object.hasOwn(ROUTES, service)) return undefined
  return ROUTES[service]?.find((route) => route.method === method && fits(route.parts, parts))?.operation
}

interface Route {
  readonly method: string
  /** `*` stands for one part, `**` at the end for one or more. */
  readonly parts: readonly string[]
  readonly operation: string
}

function fits(pattern: readonly string[], parts: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === '**'
  if (isOpen ? parts.length < pattern.length : parts.length !== pattern.length) return false
  return pattern.every((wanted, index) => wanted === '*' || wanted === '**' || wanted === parts[index])
}

function routes(table: string): readonly Route[] {
  return table
    .trim()
    .split('\n')
    .map((line) => {
      const [method = '', path = '', operation = ''] = line.trim().split(/\s+/)
      return { method, parts: path.split('/').filter((part) => part !== ''), operation }
    })
}

/** @see the "Actions" and request syntax pages of each service's API reference */
const ROUTES: Readonly<Record<string, readonly Route[]>> = {
  lambda: routes(`
    GET    /2015-03-31/functions                          ListFunctions
    POST   /2015-03-31/functions                          CreateFunction
    GET    /2015-03-31/functions/*                        GetFunction
    DELETE /2015-03-31/functions/*                        DeleteFunction
    POST   /2015-03-31/functions/*/invocations            InvokeFunction
    POST   /2014-11-13/functions/*/invoke-async           InvokeAsync
    POST   /2021-11-15/functions/*/response-streaming-invocations InvokeWithResponseStream
    GET    /2015-03-31/functions/*/configuration          GetFunctionConfiguration
    PUT    /2015-03-31/functions/*/configuration          UpdateFunctionConfiguration
    PUT    /2015-03-31/functions/*/code                   UpdateFunctionCode
    GET    /2015-03-31/functions/*/policy                 GetPolicy
    POST   /2015-03-31/functions/*/policy                 AddPermission
    DELETE /2015-03-31/functions/*/policy/*               RemovePermission
    GET    /2015-03-31/functions/*/versions               ListVersionsByFunction
    POST   /2015-03-31/functions/*/versions               PublishVersion
    GET    /2015-03-31/functions/*/aliases                ListAliases
    POST   /2015-03-31/functions/*/aliases                CreateAlias
    GET    /2015-03-31/functions/*/aliases/*              GetAlias
    PUT    /2015-03-31/functions/*/aliases/*              UpdateAlias
    DELETE /2015-03-31/functions/*/aliases/*              DeleteAlias
    GET    /2019-09-30/functions/*/concurrency            GetFunctionConcurrency
    PUT    /2017-10-31/functions/*/concurrency            PutFunctionConcurrency
    DELETE /2017-10-31/functions/*/concurrency            DeleteFunctionConcurrency
    GET    /2021-10-31/functions/*/url                    GetFunctionUrlConfig
    POST   /2021-10-31/functions/*/url                    CreateFunctionUrlConfig
    PUT    /2021-10-31/functions/*/url                    UpdateFunctionUrlConfig
    DELETE /2021-10-31/functions/*/url                    DeleteFunctionUrlConfig
    GET    /2015-03-31/event-source-mappings              ListEventSourceMappings
    POST   /2015-03-31/event-source-mappings              CreateEventSourceMapping
    GET    /2015-03-31/event-source-mappings/*            GetEventSourceMapping
    PUT    /2015-03-31/event-source-mappings/*            UpdateEventSourceMapping
    DELETE /2015-03-31/event-source-mappings/*            DeleteEventSourceMapping
    GET    /2018-10-31/layers                             ListLayers
    GET    /2018-10-31/layers/*/versions                  ListLayerVersions
    POST   /2018-10-31/layers/*/versions                  PublishLayerVersion
    GET    /2018-10-31/layers/*/versions/*                GetLayerVersion
    DELETE /2018-10-31/layers/*/versions/*                DeleteLayerVersion
    GET    /2017-03-31/tags/**                            ListTags
    POST   /2017-03-31/tags/**                            TagResource
    DELETE /2017-03-31/tags/**                            UntagResource
    GET    /2016-08-19/account-settings                   GetAccountSettings
  `),
  eks: routes(`
    GET    /clusters                                      ListClusters
    POST   /clusters                                      CreateCluster
    GET    /clusters/*                                    DescribeCluster
    DELETE /clusters/*                                    DeleteCluster
    POST   /clusters/*/update-config                      UpdateClusterConfig
    POST   /clusters/*/updates                            UpdateClusterVersion
    GET    /clusters/*/updates                            ListUpdates
    GET    /clusters/*/updates/*                          DescribeUpdate
    GET    /clusters/*/node-groups                        ListNodegroups
    POST   /clusters/*/node-groups                        CreateNodegroup
    GET    /clusters/*/node-groups/*                      DescribeNodegroup
    DELETE /clusters/*/node-groups/*                      DeleteNodegroup
    GET    /clusters/*/addons                             ListAddons
    POST   /clusters/*/addons                             CreateAddon
    GET    /clusters/*/addons/*                           DescribeAddon
    DELETE /clusters/*/addons/*                           DeleteAddon
    GET    /clusters/*/access-entries                     ListAccessEntries
    POST   /clusters/*/access-entries                     CreateAccessEntry
    GET    /clusters/*/access-entries/*                   DescribeAccessEntry
    DELETE /clusters/*/access-entries/*                   DeleteAccessEntry
    GET    /clusters/*/fargate-profiles                   ListFargateProfiles
    GET    /clusters/*/fargate-profiles/*                 DescribeFargateProfile
    GET    /addons/supported-versions                     DescribeAddonVersions
    GET    /tags/**                                       ListTagsForResource
    POST   /tags/**                                       TagResource
    DELETE /tags/**                                       UntagResource
  `),
  route53: routes(`
    GET    /2013-04-01/hostedzone                         ListHostedZones
    POST   /2013-04-01/hostedzone                         CreateHostedZone
    GET    /2013-04-01/hostedzone/*                       GetHostedZone
    DELETE /2013-04-01/hostedzone/*                       DeleteHostedZone
    GET    /2013-04-01/hostedzone/*/rrset                 ListResourceRecordSets
    POST   /2013-04-01/hostedzone/*/rrset                 ChangeResourceRecordSets
    POST   /2013-04-01/hostedzone/*/rrset/                ChangeResourceRecordSets
    GET    /2013-04-01/hostedzonesbyname                  ListHostedZonesByName
    GET    /2013-04-01/hostedzonecount                    GetHostedZoneCount
    GET    /2013-04-01/change/*                           GetChange
    GET    /2013-04-01/healthcheck                        ListHealthChecks
    POST   /2013-04-01/healthcheck                        CreateHealthCheck
    GET    /2013-04-01/healthcheck/*                      GetHealthCheck
    DELETE /2013-04-01/healthcheck/*                      DeleteHealthCheck
    GET    /2013-04-01/tags/*/*                           ListTagsForResource
    POST   /2013-04-01/tags/*/*                           ChangeTagsForResource
  `),
  cloudfront: routes(`
    GET    /2020-05-31/distribution                       ListDistributions
    POST   /2020-05-31/distribution                       CreateDistribution
    GET    /2020-05-31/distribution/*                     GetDistribution
    DELETE /2020-05-31/distribution/*                     DeleteDistribution
    GET    /2020-05-31/distribution/*/config              GetDistributionConfig
    PUT    /2020-05-31/distribution/*/config              UpdateDistribution
    GET    /2020-05-31/distribution/*/invalidation        ListInvalidations
    POST   /2020-05-31/distribution/*/invalidation        CreateInvalidation
    GET    /2020-05-31/distribution/*/invalidation/*      GetInvalidation
  `),
  bedrock: routes(`
    POST   /model/*/invoke                                InvokeModel
    POST   /model/*/invoke-with-response-stream           InvokeModelWithResponseStream
    POST   /model/*/converse                              InvokeModel
    POST   /model/*/converse-stream                       InvokeModelWithResponseStream
    GET    /foundation-models                             ListFoundationModels
    GET    /foundation-models/*                           GetFoundationModel
  `),
  rolesanywhere: routes(`
    POST   /sessions                                      CreateSession
    GET    /profiles                                      ListProfiles
    GET    /profile/*                                     GetProfile
    GET    /trustanchors                                  ListTrustAnchors
    GET    /trustanchor/*                                 GetTrustAnchor
    GET    /subjects                                      ListSubjects
  `),
}
