import { decideApp } from '#rbac/decide-app.ts'
import { createRoleSet } from '#rbac/role-set.ts'
import { type App, parseApp } from '#resources/app.ts'
import { parseRole, type Role } from '#resources/role.ts'
import { type Bench, median } from './bench.ts'

const ROLES = 100
const SELECTORS = 20
const REACH_US = 20

/** How long one decision takes: the rule that every request at an agent asks. */
export const bench: Bench = {
  name: 'decision',
  says: `one decision about an app with ${ROLES} roles of ${SELECTORS} label selectors each`,
  async run({ long, say }) {
    const rounds = long ? 30 : 5
    const decisions = long ? 20_000 : 4000
    const apps = Array.from({ length: 50 }, (_, index) => app(index))
    const cases = {
      'early-mismatch': createRoleSet(roles('early'), { team: ['ops'] }),
      'late-mismatch': createRoleSet(roles('late'), { team: ['ops'] }),
      granted: createRoleSet(roles('match'), { team: ['ops'] }),
    }
    const metrics = Object.entries(cases).map(([name, set]) => {
      const times: number[] = []
      let allowed = 0
      for (let round = 0; round < rounds + 2; round++) {
        const started = performance.now()
        allowed = 0
        for (let index = 0; index < decisions; index++) {
          const app = apps[index % apps.length]
          if (app && decideApp(set, { app, awsRoleArn: 'arn:aws:iam::123456789012:role/r99' }).allowed) allowed++
        }
        const us = ((performance.now() - started) * 1000) / decisions
        if (round >= 2) times.push(us) // the first two are the compiler's
      }
      const value = Number(median(times).toFixed(2))
      say(`${name}: ${value} µs a decision, ${allowed} of ${decisions} allowed`)
      return { name, value, unit: 'µs', reach: REACH_US, met: value <= REACH_US }
    })
    return { bench: 'decision', input: { roles: ROLES, selectors: SELECTORS, apps: apps.length, decisions }, metrics }
  },
}

/** Labels of which each role asks for all: exact values, lists, globs, traits, and a regular expression. */
function app(index: number): App {
  const labels = Object.fromEntries(
    Array.from({ length: SELECTORS }, (_, key) => [`label-${key}`, `value-${key}-${index}`]),
  )
  return parseApp({ metadata: { name: `app-${index}`, labels: { ...labels, team: 'ops' } }, spec: { cloud: 'AWS' } })
}

/** Whether the first selector of a role already fails, or only the last, or none. */
function roles(kind: 'early' | 'late' | 'match'): readonly Role[] {
  return Array.from({ length: ROLES }, (_, role) => {
    const app_labels = Object.fromEntries(
      Array.from({ length: SELECTORS - 2 }, (_, key): [string, string[]] => {
        const fails = kind === 'early' ? key === 0 : kind === 'late' && key === SELECTORS - 3
        return [`label-${key}`, fails ? ['other', `other-${role}-*`] : [`value-${key + 1}`, `value-${key}-*`]]
      }),
    )
    return parseRole({
      kind: 'role',
      version: 'v7',
      metadata: { name: `role-${role}` },
      spec: {
        allow: {
          app_labels: { ...app_labels, team: ['{{external.team}}'], 'label-19': ['^value-19-[0-9]+$'] },
          aws_role_arns: [`arn:aws:iam::123456789012:role/r${role}`],
        },
        deny: { app_labels: { env: ['forbidden'] } },
      },
    })
  })
}
