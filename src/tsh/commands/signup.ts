import { Command } from 'commander'
import { addExamples } from '#cli/command.ts'
import { openPrompt } from '#cli/prompt.ts'
import { UsageError } from '#cli/usage-error.ts'
import { openProfileStore } from '#client/profile.ts'
import { formatProxyAddress, type ProxyAddress, parseProxyAddress } from '#client/proxy-address.ts'
import { readUserToken, redeemUserToken } from '#client/user-token.ts'
import { createWebClient, type WebTrust } from '#client/web-client.ts'
import { type GlobalOptions, openEgress } from '#tsh/cluster-session.ts'
import type { TshDeps } from '#tsh/deps.ts'
import { trustOf, warnOfNoCheck } from '#tsh/log-in.ts'
import { askCode, askNewPassword, askOptionalCode, showTotpSecret } from '#tsh/new-secrets.ts'

interface SignupOptions extends GlobalOptions {
  readonly caPin?: string
  readonly deviceName: string
}

/** `tsh signup URL`: sets password and second factor with the URL that an administrator sent. */
export function signupCommand(deps: TshDeps): Command {
  const command = new Command('signup')
    .description('set your password and second factor with the URL of an invite or a reset')
    .argument('<url>', 'https://PROXY/web/invite/TOKEN or https://PROXY/web/reset/TOKEN')
    .option('--ca-pin <pin>', "accept the proxy's certificate when this authority vouches for it")
    .option('--insecure', "do not check the proxy's certificate: for test set-ups alone")
    .option('--device-name <name>', 'name of the authenticator app', 'otp')
    .action(async (url: string, _: unknown, self: Command) => signUp(deps, url, self.optsWithGlobals<SignupOptions>()))
  return addExamples(command, [
    {
      command: 'tsh signup https://access.example.com/web/invite/0123456789abcdef',
      says: 'what "tctl users add" printed',
    },
  ])
}

/** An invite or reset URL: `{ proxy, token }`. @throws {UsageError} for any other text */
export function parseUserTokenUrl(text: string): { readonly proxy: ProxyAddress; readonly token: string } {
  const url = URL.parse(text.trim())
  const [, token] = /^\/web\/(?:invite|reset)\/([0-9a-zA-Z_-]{8,128})\/?$/.exec(url?.pathname ?? '') ?? []
  if (url?.protocol !== 'https:' || token === undefined || url.username !== '') {
    throw new UsageError('this is not the URL of an invite or a reset', {
      hint: 'copy it whole: https://PROXY/web/invite/TOKEN, as "tctl users add" prints it',
    })
  }
  return { proxy: parseProxyAddress(url.host), token }
}

async function signUp(deps: TshDeps, text: string, options: SignupOptions): Promise<void> {
  const { proxy, token } = parseUserTokenUrl(text)
  using egress = openEgress(deps.env)
  const trust: WebTrust = {
    ...(await trustOf(deps.home, await openProfileStore(deps.home).find(proxy.host))),
    ...(options.caPin === undefined ? {} : { caPin: options.caPin }),
    ...(options.insecure === undefined ? {} : { allowUntrustedProxy: options.insecure }),
  }
  warnOfNoCheck(deps, proxy, trust)
  const web = createWebClient({ proxy, trust, egress, signal: deps.signal })
  const found = await readUserToken(web, token)
  using prompt = openPrompt(deps.terminal)
  const password = await askNewPassword(prompt, found.user)
  let code: string | undefined
  if (found.totp !== undefined) {
    await showTotpSecret(deps.terminal.stdout, found.totp)
    code = found.totp.isRequired
      ? await askCode(prompt, 'Enter the code that the app shows:')
      : await askOptionalCode(prompt, 'Enter the code that the app shows, or nothing to go without:')
  }
  await redeemUserToken(web, { token, password, code, deviceName: options.deviceName })
  const again = [
    `tsh login --proxy=${formatProxyAddress(proxy)} --user=${found.user}`,
    ...(trust.caPin === undefined ? [] : [`--ca-pin=${trust.caPin}`]),
    ...(trust.caPin === undefined && trust.allowUntrustedProxy === true ? ['--insecure'] : []),
  ].join(' ')
  deps.terminal.stdout.write(`The password of ${found.user} has been set. Log in with:\n\n  ${again}\n`)
}
