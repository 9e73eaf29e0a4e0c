/** The forms of `tctl auth export`, which the proxy also serves to everyone, without keys. */
import { InvalidInput } from '#errors.ts'
import { splitPem } from '#pki/certificate.ts'
import { parsePrivateKey } from '#pki/key.ts'
import type { Authority, CaType } from './authorities.ts'

export interface AuthorityExport {
  /** All of it, one block after the other. */
  readonly pem: string
  /** The one certificate or key, for the types that end in `-der`; of the others the first. */
  readonly der: Buffer
}

/** An export that does not exist, or that cannot have the form asked for. */
export class ExportRefused extends InvalidInput {}

/**
 * What `tctl auth export --type TYPE` writes: every active and trusted certificate, or, `withKeys`, the private keys.
 * @param authorityOf gives an authority by its type
 * @throws {ExportRefused}
 */
export function exportAuthority(
  type: string,
  withKeys: boolean,
  authorityOf: (type: CaType) => Authority,
): AuthorityExport {
  const form = forms.get(type)
  if (form === undefined) throw refused(type)
  const { certificates, keys } = authorityOf(form.authority)
  if (form.isDer && (withKeys ? keys : certificates).length > 1) {
    throw new ExportRefused(`the ${form.authority} authority has several certificates, and DER holds one`, {
      hint: `export "tls-${form.authority}", which is PEM, while the authority is being rotated`,
    })
  }
  if (withKeys) {
    const [key] = keys
    return { pem: keys.join(''), der: key === undefined ? Buffer.alloc(0) : privateKeyDer(key) }
  }
  const [certificate = ''] = certificates
  return { pem: certificates.join(''), der: certificateDer(certificate) }
}

// ----------------------------------------------------------------------------------------------- private

const forms: ReadonlyMap<string, { readonly authority: CaType; readonly isDer: boolean }> = new Map([
  ['tls', { authority: 'host', isDer: false }],
  ['tls-host', { authority: 'host', isDer: false }],
  ['tls-user', { authority: 'user', isDer: false }],
  ['tls-user-der', { authority: 'user', isDer: true }],
  ['windows', { authority: 'user', isDer: true }],
  ['tls-spiffe', { authority: 'spiffe', isDer: false }],
  ['awsra', { authority: 'awsra', isDer: false }],
])

/** Without a type, the SSH forms of both are meant. */
const sshForms = ['', 'user', 'host', 'openssh', 'fingerprint']

function refused(type: string): ExportRefused {
  const hint = `use one of ${[...forms.keys()].join(', ')}`
  if (sshForms.includes(type)) {
    const what = type === '' ? 'an export without a type is' : `the export "${type}" is`
    return new ExportRefused(`${what} in SSH form, and this product has no SSH`, { hint })
  }
  return new ExportRefused(`${JSON.stringify(type.slice(0, 64))} authority type is not supported`, { hint })
}

function certificateDer(pem: string): Buffer {
  const [block = ''] = splitPem(pem)
  return Buffer.from(block.replace(/-----[A-Z ]+-----/g, ''), 'base64')
}

function privateKeyDer(pem: string): Buffer {
  return parsePrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
}
