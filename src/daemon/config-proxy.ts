import { z } from 'zod'
import { duration, durationMs, flag, strict, text, texts } from '#resources/schema.ts'
import { type Address, addressText } from './address.ts'
import { addressOf, defaultPorts, unused } from './config-teleport.ts'
import { unusedKeys } from './config-unused.ts'
import type { Refuse } from './invalid-config.ts'

/** Section `proxy_service` as it is written. */
export const proxySection = strict({
  enabled: flag.exactOptional().describe('Whether the service runs; yes where it is left out.'),
  web_listen_addr: text
    .exactOptional()
    .describe('Where the proxy listens for everything; port 3080 where none is given.'),
  public_addr: texts
    .exactOptional()
    .describe('Addresses under which people reach it; the first is where redirects and links go.'),
  https_keypairs: z
    .array(
      strict({
        key_file: text.describe('Path of the private key, PEM.'),
        cert_file: text.describe('Path of the certificate with its chain, PEM.'),
      }),
    )
    .exactOptional()
    .describe('Certificates that browsers trust. Where there is none, a self-signed one is made.'),
  https_key_file: text.exactOptional().describe('Older spelling of one entry of `https_keypairs`.'),
  https_cert_file: text.exactOptional().describe('Older spelling of one entry of `https_keypairs`.'),
  https_keypairs_reload_interval: duration().exactOptional().describe('How often the files are read again; 0: once.'),
  ...unused(unusedKeys.proxy_service),
})

/** What the proxy gets. */
export interface ProxySettings {
  readonly listen: Address
  /** `HOST:PORT`; the first is where redirects and links go. */
  readonly publicAddrs: readonly string[]
  /** None: a self-signed certificate is made. */
  readonly keyPairs: readonly { readonly keyFile: string; readonly certFile: string }[]
  /** 0: the files are read once. */
  readonly keyPairsReloadMs: number
}

type ProxySection = z.output<typeof proxySection>

/** @throws by way of `refuse` */
export function proxySettings(section: ProxySection, refuse: Refuse): ProxySettings {
  const { https_key_file: keyFile, https_cert_file: certFile, https_keypairs = [] } = section
  if ((keyFile === undefined) !== (certFile === undefined)) {
    refuse(
      ['proxy_service', keyFile === undefined ? 'https_cert_file' : 'https_key_file'],
      'https_key_file and https_cert_file must both be set',
    )
  }
  const older = keyFile !== undefined && certFile !== undefined ? [{ keyFile, certFile }] : []
  const listen = addressOf(
    section.web_listen_addr ?? '0.0.0.0',
    ['proxy_service', 'web_listen_addr'],
    defaultPorts.proxy,
    refuse,
  )
  return {
    listen,
    publicAddrs: (section.public_addr ?? []).map((text, index) =>
      addressText(
        addressOf(
          text,
          ['proxy_service', 'public_addr', index],
          listen.port === 443 ? 443 : listen.port || defaultPorts.proxy,
          refuse,
        ),
      ),
    ),
    keyPairs: [
      ...https_keypairs.map(({ key_file, cert_file }) => ({ keyFile: key_file, certFile: cert_file })),
      ...older,
    ],
    keyPairsReloadMs: durationMs(section.https_keypairs_reload_interval ?? '0s'),
  }
}
