/** The pages of `docs/reference` that are made from the source. */
import { auditEventsPage } from './reference-audit.ts'
import { commandPages } from './reference-commands.ts'
import { configPage } from './reference-config.ts'
import { resourcesPage } from './reference-resources.ts'
import { templatesPage } from './reference-templates.ts'

/** Text by path from the checkout: `{ 'docs/reference/tsh.md': '# tsh …' }`. */
export async function referencePages(): Promise<Readonly<Record<string, string>>> {
  const { tsh, tctl, teleport } = await commandPages()
  const pages = {
    tsh,
    tctl,
    teleport,
    resources: resourcesPage(),
    'teleport-yaml': configPage(),
    templates: templatesPage(),
    'audit-events': auditEventsPage(),
  }
  return Object.fromEntries(Object.entries(pages).map(([name, text]) => [`docs/reference/${name}.md`, text]))
}
