import { Command } from 'commander'
import type { TshDeps } from '#tsh/deps.ts'
import { appsConfigCommand } from './apps-config.ts'
import { appsLoginCommand } from './apps-login.ts'
import { appsLogoutCommand } from './apps-logout.ts'
import { appsLsCommand } from './apps-ls.ts'

/** `tsh apps`, or `tsh app`: the apps that the user may open. */
export function appsCommand(deps: TshDeps): Command {
  return new Command('apps')
    .alias('app')
    .description('list apps, log in to them and out of them')
    .addCommand(appsLsCommand(deps))
    .addCommand(appsLoginCommand(deps))
    .addCommand(appsLogoutCommand(deps))
    .addCommand(appsConfigCommand(deps))
}
