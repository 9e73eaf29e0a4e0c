import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { UserIdentity } from '#identity/identity.ts'
import { type App, parseApp } from '#resources/app.ts'
import { parseAuthPreference } from '#resources/cluster-config.ts'
import { parseLock } from '#resources/lock.ts'
import { parseRole, type Role } from '#resources/role.ts'
import { admit, type ClusterView, RoleSets } from './admit.ts'

const now = new Date('2030-01-01T00:00:00Z')
const ago = (minutes: number): Date => new Date(now.getTime() - minutes * 60_000)
const READER = 'arn:aws:iam::123456789012:role/Reader'
const route = {
  name: 'aws',
  sessionId: 's-1',
  publicAddr: 'aws.example.com',
  cluster: 'example.com',
  serverName: 'x',
  awsRoleArn: READER,
}
const alice: UserIdentity = {
  kind: 'user',
  name: 'alice',
  roles: ['reader'],
  traits: {},
  usage: ['apps'],
  cluster: 'example.com',
  expires: new Date(now.getTime() + 3_600_000),
  routeToApp: route,
  awsRoleArns: [],
  azureIdentities: [],
  kubeUsers: [],
  kubeGroups: [],
  userType: 'local',
  accessRequests: [],
  isRenewable: false,
  disallowReissue: false,
}
const app = (spec: object = {}): App =>
  parseApp({
    kind: 'app',
    version: 'v3',
    metadata: { name: 'aws' },
    spec: { uri: 'https://console.aws.amazon.com/', ...spec },
  })
const role = (name: string, options: object = {}, deny: object = {}): Role =>
  parseRole({
    kind: 'role',
    version: 'v7',
    metadata: { name },
    spec: { allow: { app_labels: { '*': ['*'] }, aws_role_arns: [READER] }, deny, options },
  })
const preference = (spec: object): ReturnType<typeof parseAuthPreference> =>
  parseAuthPreference({
    kind: 'cluster_auth_preference',
    version: 'v2',
    metadata: { name: 'cluster-auth-preference' },
    spec,
  })
const lock = (target: object, expires?: Date): ReturnType<typeof parseLock> =>
  parseLock({
    kind: 'lock',
    version: 'v2',
    metadata: { name: 'l' },
    spec: { target, ...(expires === undefined ? {} : { expires: expires.toISOString() }) },
  })

const view = (changes: Partial<ClusterView> & { readonly roles?: readonly Role[] } = {}): ClusterView => {
  const { roles = [role('reader')], ...rest } = changes
  return {
    cluster: 'example.com',
    hostId: 'host-1',
    locks: [],
    role: (name) => roles.find(({ metadata }) => metadata.name === name),
    isUnreadable: () => false,
    preference: undefined,
    asOf: ago(0),
    app: (name) => (name === 'aws' ? app() : undefined),
    ...rest,
  }
}
const without = <K extends keyof UserIdentity>(field: K): UserIdentity => {
  const { [field]: _, ...rest } = alice
  return rest as UserIdentity // the field is an optional one
}

suite('who is let in', () => {
  const strict = preference({ locking_mode: 'strict' })
  const rows: readonly { says: string; who?: UserIdentity; sees?: Parameters<typeof view>[0]; reason?: string }[] = [
    { says: 'who has the role' },
    { says: 'who has one role of two, where the other exists no more', who: { ...alice, roles: ['gone', 'reader'] } },
    { says: 'not with an expired certificate', who: { ...alice, expires: now }, reason: 'expired' },
    { says: 'not with a login certificate', who: without('usage'), reason: 'wrong-usage' },
    { says: 'not with a certificate for Kubernetes', who: { ...alice, usage: ['kube'] }, reason: 'wrong-usage' },
    { says: 'not with a certificate that names no app', who: without('routeToApp'), reason: 'wrong-usage' },
    { says: 'not from another cluster', who: { ...alice, cluster: 'example.org' }, reason: 'wrong-cluster' },
    {
      says: 'not on the way to another cluster',
      who: { ...alice, routeToApp: { ...route, cluster: 'example.org' } },
      reason: 'wrong-cluster',
    },
    {
      says: 'not to an app that is gone',
      who: { ...alice, routeToApp: { ...route, name: 'gone' } },
      reason: 'app-not-found',
    },
    {
      says: 'not to AWS without a role of AWS',
      who: { ...alice, routeToApp: { ...route, awsRoleArn: undefined as never } },
      reason: 'aws-role-missing',
    },
    {
      says: 'not as a role of AWS that nobody granted',
      who: { ...alice, routeToApp: { ...route, awsRoleArn: `${READER}2` } },
      reason: 'aws-role-not-allowed',
    },
    {
      says: 'not as a role of another partition of AWS than the app is of',
      sees: { app: () => app({ uri: 'https://console.amazonaws.cn/' }) },
      reason: 'aws-partition',
    },
    { says: 'nobody whose roles are all gone', sees: { roles: [] }, reason: 'no-role-matches' },
    {
      says: 'nobody whom a role denies',
      who: { ...alice, roles: ['reader', 'no'] },
      sees: { roles: [role('reader'), role('no', {}, { app_labels: { '*': ['*'] } })] },
      reason: 'denied-by-role',
    },
    {
      says: 'nobody with a role that cannot be read',
      sees: { isUnreadable: (name) => name === 'reader' },
      reason: 'role-unreadable',
    },
    { says: 'nobody while nothing is known', sees: { asOf: new Date(0) }, reason: 'not-ready' },
    { says: 'nobody who is locked', sees: { locks: [lock({ user: 'alice' })] }, reason: 'locked' },
    { says: 'nobody whose role is locked', sees: { locks: [lock({ role: 'reader' })] }, reason: 'locked' },
    { says: 'nobody whose session is locked', sees: { locks: [lock({ app_session: 's-1' })] }, reason: 'locked' },
    {
      says: 'nobody through an agent that is locked',
      sees: { locks: [lock({ server_id: 'host-1' })] },
      reason: 'locked',
    },
    { says: 'who has a lock that expired', sees: { locks: [lock({ user: 'alice' }, ago(1))] } },
    { says: 'whom a lock means only in part', sees: { locks: [lock({ user: 'alice', role: 'other' })] } },
    { says: 'by an old copy, in the mode that goes on', sees: { asOf: ago(60) } },
    {
      says: 'not by an old copy, in strict mode',
      sees: { asOf: ago(6), preference: strict },
      reason: 'locks-unreliable',
    },
    { says: 'by a copy that is not yet old, in strict mode', sees: { asOf: ago(4), preference: strict } },
    {
      says: 'not by an old copy with a strict role',
      sees: { asOf: ago(6), roles: [role('reader', { lock: 'strict' })] },
      reason: 'locks-unreliable',
    },
    {
      says: 'by an old copy with a role that overrides the strict mode',
      sees: { asOf: ago(6), preference: strict, roles: [role('reader', { lock: 'best_effort' })] },
    },
    {
      says: 'not by a copy of a minute, where that is the limit',
      sees: { asOf: ago(2), preference: strict, maxLockAgeMs: 60_000 },
      reason: 'locks-unreliable',
    },
    {
      says: 'not without MFA, where the cluster wants it',
      sees: { preference: preference({ require_session_mfa: true }) },
      reason: 'mfa-required',
    },
    {
      says: 'with MFA, where the cluster wants it',
      who: { ...alice, mfaDeviceId: 'd' },
      sees: { preference: preference({ require_session_mfa: true }) },
    },
    {
      says: 'not without MFA, where the role wants it',
      sees: { roles: [role('reader', { require_session_mfa: true })] },
      reason: 'mfa-required',
    },
  ]
  for (const { says, who = alice, sees = {}, reason } of rows) {
    test(says, () => {
      const admission = admit(who, view(sees), { now, roles: new RoleSets() })
      assert.equal(admission.allowed ? undefined : admission.reason, reason)
      if (admission.allowed) return
      assert.ok(admission.message.length > 10 && admission.hint.length > 10)
      // Names of roles are for the log; only a lock says whom it means.
      if (reason !== 'locked') assert.doesNotMatch(admission.message + admission.hint, /"(no|reader)"/)
    })
  }
})
