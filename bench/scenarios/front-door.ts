/** Question: what do bulk and CONNECTs lose by a front door, ours or HAProxy? The questions of others, put with and without it. */
import { bulkDownload } from './bulk-download.ts'
import { bulkUpload } from './bulk-upload.ts'
import { connectRate } from './connect-rate.ts'
import type { Scenario } from './scenario.ts'

export const frontDoor: Scenario = {
  name: 'front-door',
  question: 'front door',
  lineup: 'front-door',
  askedByName: true,
  cases: (effort) =>
    [bulkDownload, bulkUpload, connectRate].flatMap(({ question, cases }) =>
      cases(effort)
        .filter(({ frontend }) => frontend === 'tls') // nothing else passes it
        .map((one) => ({ ...one, label: `${question}, ${one.label}`, series: `${one.series}, ${question}` })),
    ),
}
