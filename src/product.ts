/** Every name by which outsiders know the product: the one place to rename it. */
export const product = {
  /** What people call it, in texts. */
  name: 'Teleport',
  /** Version of this product. */
  version: '0.1.0',
  /** Release line that clients and guides compare with. */
  compatibleVersion: '18.0.0',
  /** Oldest client, in versions of this product, that a cluster serves. */
  minClientVersion: '0.1.0',
  /** Prefix of labels that the product sets itself, such as `teleport.dev/origin`. */
  labelPrefix: 'teleport.dev/',
  /** Arc of the certificate subject attributes. */
  oidArc: '1.3.9999',
  daemon: 'teleport',
  configFile: '/etc/teleport.yaml',
  dataDir: '/var/lib/teleport',
  profileDir: '.tsh',
} as const
