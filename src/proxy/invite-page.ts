import { product } from '#product.ts'
import type { PublicAddress } from './config.ts'

/** A page for a person with a browser who has to go on with `tsh`. */
export type PageContent = {
  readonly address: PublicAddress
  /** The browser has warned of the certificate, and `tsh` will want a pin. */
  readonly isSelfSigned: boolean
} & ({ readonly kind: 'invite' | 'reset'; readonly token: string } | { readonly kind: 'start' })

/** HTML without scripts. Everything in it is the same whether the token exists or not. */
export function invitePage(content: PageContent): string {
  const { address, isSelfSigned } = content
  const origin = `https://${address.host}${address.port === 443 ? '' : `:${address.port}`}`
  const pin = isSelfSigned ? ' --ca-pin sha256:…' : ''
  const { title, lead, command } = texts(content, origin)
  const note = isSelfSigned
    ? `<p>The certificate of this server is signed by the cluster itself: put the CA pin that your administrator gives you (<code>tctl status</code> prints it) in the place of <code>sha256:…</code>.</p>`
    : ''
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)} – ${escapeHtml(product.name)}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:4rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}pre{background:#f2f2f2;padding:1rem;overflow-x:auto;border-radius:.4rem}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}pre{background:#262626}}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${escapeHtml(lead)}</p>
<pre><code>${escapeHtml(command + pin)}</code></pre>
${note}
</main>
</body>
</html>
`
}

function texts(content: PageContent, origin: string): { title: string; lead: string; command: string } {
  switch (content.kind) {
    case 'invite':
      return {
        title: 'You are invited',
        lead: 'Choose your password and register your authenticator in a terminal:',
        command: `tsh signup ${origin}/web/invite/${content.token}`,
      }
    case 'reset':
      return {
        title: 'Set a new password',
        lead: 'Choose a new password and register your authenticator in a terminal:',
        command: `tsh signup ${origin}/web/reset/${content.token}`,
      }
    case 'start':
      return {
        title: product.name,
        lead: 'Log in from a terminal:',
        command: `tsh login --proxy=${origin.slice('https://'.length)} --user=NAME`,
      }
  }
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] ?? '')
