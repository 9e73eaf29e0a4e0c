import { createPublicKey, type KeyObject } from 'node:crypto'
import { createClient } from '@connectrpc/connect'
import { InvalidInput, NotFound } from '#errors.ts'
import { AppService, type VisibleApp } from '#gen/access/v1/access_pb.ts'
import type { RouteToApp, UserIdentity } from '#identity/identity.ts'
import { generateKeyPair, parsePrivateKey, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import type { RpcConnection } from '#rpc/client.ts'
import { decodeUser, type Login } from './active-login.ts'
import type { AppPaths, KeyPairFiles } from './keystore.ts'

/** A login to one app: a certificate that opens it, as one cloud principal, until it expires. */
export interface AppLogin extends KeyPairFiles {
  /** Name of the app: `awsconsole`. */
  readonly app: string
  readonly cluster: string
  readonly identity: UserIdentity
  /** What the certificate opens: server name for the dial, AWS role, session id. */
  readonly route: RouteToApp
  readonly expires: Date
  readonly paths: AppPaths
}

/** What a login to an app asks for. */
export interface AppChoice {
  readonly app: string
  readonly awsRoleArn?: string
  readonly azureIdentity?: string
}

/** Tells whether a certificate still says something at an instant. */
export function isAppLoginValid({ expires }: AppLogin, now: Date): boolean {
  return expires > now
}

/** The stored login to an app, expired or not; `undefined` where there is none, or where its certificate cannot be read. */
export async function findAppLogin(login: Login, app: string): Promise<AppLogin | undefined> {
  const pair = await login.keys.readApp(login.profile.cluster, app)
  return pair === undefined ? undefined : appLoginOf(login, app, pair)
}

/** The stored logins to apps of the profile's cluster, by name of the app, expired ones too. */
export async function listAppLogins(login: Login): Promise<readonly AppLogin[]> {
  const names = await login.keys.listApps(login.profile.cluster)
  const found = await Promise.all(names.map((name) => findAppLogin(login, name).catch(() => undefined)))
  return found.filter((each) => each !== undefined)
}

/**
 * Asks the cluster for a certificate of an app and stores it. The private key of an earlier login to the app is kept,
 * because the placeholder credentials of the local proxy are derived from it: shells that hold them keep working.
 */
export async function loginToApp(login: Login, connection: RpcConnection, choice: AppChoice): Promise<AppLogin> {
  const { app } = choice
  const cluster = login.profile.cluster
  const privateKey = parsePrivateKey(await login.keys.appKey(cluster, app))
  const pair = await askForSession(connection, choice, privateKey)
  await login.keys.writeApp(cluster, app, pair)
  return appLoginOf(login, app, pair)
}

/**
 * A login to an app for this process alone: it is not stored, so that the stored one and other terminals keep the
 * principal that they have. Its key is gone with the process.
 */
export async function openAppSession(login: Login, connection: RpcConnection, choice: AppChoice): Promise<AppLogin> {
  return appLoginOf(login, choice.app, await askForSession(connection, choice, generateKeyPair().privateKey))
}

async function askForSession(
  connection: RpcConnection,
  { app, awsRoleArn, azureIdentity }: AppChoice,
  privateKey: KeyObject,
): Promise<KeyPairFiles> {
  const answer = await createClient(AppService, connection.transport).startAppSession({
    app,
    awsRoleArn: awsRoleArn ?? '',
    azureIdentity: azureIdentity ?? '',
    publicKeyPem: publicKeyPem(createPublicKey(privateKey)),
  })
  return { certificatePem: answer.certificatePem, privateKeyPem: privateKeyPem(privateKey) }
}

/**
 * The login to an app, renewed with the same principal when it has expired. It is never renewed beyond the login itself.
 *
 * @throws {NotFound} where there is no login to the app
 */
export async function validAppLogin(
  login: Login,
  connection: () => RpcConnection,
  { app, now }: { readonly app: string; readonly now: Date },
): Promise<AppLogin> {
  const found = await findAppLogin(login, app)
  if (found === undefined) {
    throw new NotFound(`not logged into app ${JSON.stringify(app)}`, { hint: `run "tsh apps login ${app}"` })
  }
  if (isAppLoginValid(found, now)) return found
  const { awsRoleArn, azureIdentity } = found.route
  return loginToApp(login, connection(), {
    app,
    ...(awsRoleArn === undefined ? {} : { awsRoleArn }),
    ...(azureIdentity === undefined ? {} : { azureIdentity }),
  })
}

/** An app that the user may open, with the principals to choose from; `undefined` where it is not visible. */
export async function findApp(connection: RpcConnection, name: string): Promise<VisibleApp | undefined> {
  const { apps } = await createClient(AppService, connection.transport).listApps({ name })
  return apps[0]
}

/** Every app that the user may open. */
export async function listVisibleApps(connection: RpcConnection): Promise<readonly VisibleApp[]> {
  const { apps } = await createClient(AppService, connection.transport).listApps({})
  return apps
}

/** Ends an app login: at the cluster, which stops its certificate, and then here. A session that is gone is no error. */
export async function endAppLogin(
  login: Login,
  connection: RpcConnection,
  found: AppLogin,
  { timeoutMs = 10_000 }: { readonly timeoutMs?: number } = {},
): Promise<void> {
  try {
    const { sessionId } = found.route
    await createClient(AppService, connection.transport).endAppSession({ sessionId }, { timeoutMs })
  } catch (error) {
    if (!(error instanceof NotFound)) throw error
  } finally {
    await login.keys.removeApp(found.cluster, found.app)
  }
}

function appLoginOf(login: Login, app: string, pair: KeyPairFiles): AppLogin {
  const identity = decodeUser(pair.certificatePem)
  if (identity.routeToApp === undefined) {
    throw new InvalidInput(`the certificate of app ${JSON.stringify(app)} opens no app`, {
      hint: `run "tsh apps logout ${app}", then log in again`,
    })
  }
  const cluster = login.profile.cluster
  return {
    ...pair,
    app,
    cluster,
    identity,
    route: identity.routeToApp,
    expires: identity.expires,
    paths: login.keys.appPaths(cluster, app),
  }
}
