/** The page of audit events: types and codes, which customers' rules key on. */
import { auditEvent, eventCodes } from '#audit/codes.ts'
import { page, table } from './reference-page.ts'

export function auditEventsPage(): string {
  const context = { clock: () => new Date(0), cluster: 'example.com' }
  const signOn = (success: boolean): string => auditEvent('user.login', { method: 'oidc', success }, context).code
  return page('Audit events', [
    'An event is one flat JSON document. `tctl audit` searches the log. Types and codes never change their meaning, because rules of other systems key on them; types of services that this version does not have are listed too.',
    '## Fields of every event',
    table(
      ['field', 'means'],
      [
        ['`event`', 'the type, such as `user.login`'],
        ['`code`', 'the code, such as `T1000I`'],
        ['`time`', 'RFC 3339, UTC, with milliseconds'],
        ['`uid`', 'UUID; an event is kept once for each `time` and `uid`'],
        ['`ei`', 'index in a stream of events; 0 for single ones'],
        ['`cluster_name`', 'the cluster'],
      ],
    ),
    'Codes end with `I` for information, `W` for a warning and `E` for an error.',
    '## Types',
    table(
      ['type', 'code', 'code of a failure'],
      Object.entries(eventCodes)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([type, codes]) => [
          `\`${type}\``,
          `\`${codes.success}\`${type === 'user.login' ? `, by single sign-on \`${signOn(true)}\`` : ''}`,
          'failure' in codes
            ? `\`${codes.failure}\`${type === 'user.login' ? `, by single sign-on \`${signOn(false)}\`` : ''}`
            : '',
        ]),
    ),
  ])
}
