import { z } from 'zod'
import { resourceParser } from './envelope.ts'
import { strict, text, untouched } from './schema.ts'

/** Authorities of a cluster that exist here. */
export const authorityTypes = ['user', 'host', 'jwt', 'spiffe', 'awsra'] as const

const keys = strict({
  /** PEM; `key` is PKCS #8 and a secret. */
  tls: z
    .array(
      strict({
        cert: text.describe('Certificate, PEM.'),
        key: text.exactOptional().describe('Private key, PKCS #8 PEM. A secret.'),
      }),
    )
    .default([])
    .describe('Certificates and their keys.'),
  jwt: z
    .array(
      strict({
        public_key: text.describe('Public key, PEM.'),
        private_key: text.exactOptional().describe('Private key, PEM. A secret.'),
      }),
    )
    .default([])
    .describe('Keys that sign tokens.'),
  ssh: z.array(untouched).exactOptional().describe('SSH keys; kept as they are.'),
})

/**
 * Takes an authority, version v2: its name is its type, and `sub_kind` repeats it.
 * @throws {InvalidResource}
 */
export const parseCertAuthority = resourceParser({
  kind: 'cert_authority',
  versions: ['v2'],
  spec: strict({
    type: text.describe('`user`, `host`, `jwt`, `spiffe` or `awsra`.'),
    cluster_name: text.describe('Cluster that it speaks for.'),
    active_keys: keys.default({ tls: [], jwt: [] }).describe('What it signs with; the first is used.'),
    additional_trusted_keys: keys
      .default({ tls: [], jwt: [] })
      .describe('What is trusted beside, while keys are replaced.'),
    rotation: z.record(z.string(), untouched).exactOptional().describe('State of a replacement of keys.'),
    /** Of the host authority: key of the labels that stand in server names, base64. A secret. */
    served_name_secret: text
      .exactOptional()
      .describe('Of the host authority: key of the labels that stand in server names, base64. A secret.'),
  }),
  finish: (authority, fail) => {
    const { type } = authority.spec
    if (!(authorityTypes as readonly string[]).includes(type)) {
      fail(['spec', 'type'], `${JSON.stringify(type)} authority type is not supported`)
    }
    return { ...authority, sub_kind: type }
  },
})

/** Certificates and keys of one authority. */
export type CertAuthority = ReturnType<typeof parseCertAuthority>
