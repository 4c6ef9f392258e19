/**
 * Question: what do bulk and CONNECTs lose by a front door, ours or HAProxy? The questions of others, put with and without it:
 * once so that clients pass it as agents do, each byte of a tunnel twice, and once so that agents alone do. On one machine the door
 * shares the processors with all else; a long way between agent and door, which is where doors stand, is asked about besides. What
 * a door costs that has a processor of its own is a question of its own.
 */
import { bulkDownload } from './bulk-download.ts'
import { bulkUpload } from './bulk-upload.ts'
import { connectRate } from './connect-rate.ts'
import type { Case, Effort, Scenario } from './scenario.ts'
import { wan } from './wan.ts'

const PASSING = { tls: 'all pass it', unix: 'agents alone pass it' } as const

export const frontDoor: Scenario = {
  name: 'front-door',
  question: 'front door',
  lineup: 'front-door',
  askedByName: true,
  cases: (effort) => [...nearCases(effort), ...wan.cases(effort).filter(({ path }) => path?.loss === 0)],
}

export const frontDoorApart: Scenario = {
  ...frontDoor,
  name: 'front-door-apart',
  question: 'front door on a processor of its own',
  cases: (effort) => nearCases(effort).map((one) => ({ ...one, doorApart: true })),
}

function nearCases(effort: Effort): Case[] {
  return (['tls', 'unix'] as const).flatMap((frontend) =>
    [bulkDownload, bulkUpload, connectRate].flatMap(({ question, cases }) =>
      cases(effort)
        .filter((one) => one.frontend === 'tls')
        .map(({ label, series, ...one }) => ({
          ...{ ...one, frontend },
          label: `${question}, ${label.replace(', TLS', '')}, ${PASSING[frontend]}`,
          series: `${series.replace(', TLS', '')}, ${question}, ${PASSING[frontend]}`,
        })),
    ),
  )
}
