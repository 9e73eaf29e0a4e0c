/** Which subject attribute holds which fact of an identity: the one table that encoding and decoding share. */
import { Unauthenticated } from '#errors.ts'
import { product } from '#product.ts'

/** A verified certificate whose subject is no identity, or an identity that no subject can hold. */
export class InvalidIdentity extends Unauthenticated {
  /** @param message one of the texts that clients know, such as `missing identity username` */
  constructor(message: string) {
    super(message, { hint: 'log in again, or join again, to get a new certificate' })
  }
}

const arc = (suffix: string): string => `${product.oidArc}.${suffix}`

/** Attribute types under the product's arc. Readers ignore those that they do not know. */
export const attributes = {
  kubeUsers: arc('1.1'),
  kubeGroups: arc('1.2'),
  kubeCluster: arc('1.3'),
  appSessionId: arc('1.4'),
  appCluster: arc('1.5'),
  appPublicAddr: arc('1.6'),
  issuingCluster: arc('1.7'),
  mfaDeviceId: arc('1.8'),
  loginIp: arc('1.9'),
  appName: arc('1.10'),
  awsRoleArn: arc('1.11'),
  awsRoleArns: arc('1.12'),
  renewable: arc('1.13'),
  generation: arc('1.14'),
  azureIdentity: arc('1.16'),
  azureIdentities: arc('1.17'),
  userType: arc('1.20'),
  impersonator: arc('2.7'),
  accessRequests: arc('2.8'),
  disallowReissue: arc('2.9'),
  systemRoles: arc('2.11'),
  botName: arc('2.18'),
  botInstanceId: arc('2.20'),
  /** Ours alone: the SNI of the blind route to an app, and to a Kubernetes cluster, and a member's node name. */
  appServerName: arc('4.1'),
  kubeServerName: arc('4.2'),
  nodeName: arc('4.3'),
} as const

/** Prefix of the OU values that narrow what a certificate is for. */
export const USAGE_PREFIX = 'usage:'
