/** What a machine has once it is a member of a cluster. */
export interface MemberIdentity {
  readonly hostId: string
  readonly clusterName: string
  /** Signed by the host authority, PEM. */
  readonly certificatePem: string
  /** PKCS #8, PEM: a secret. */
  readonly privateKeyPem: string
  /** Certificates of the host authority, PEM: who speaks for the cluster. */
  readonly hostAuthorities: readonly string[]
}
