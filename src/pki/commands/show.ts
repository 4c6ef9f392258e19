/** `culvert pki show`: what is in certificates. */

import type { Command } from '../../platform/command-line.ts'
import { TunnelError } from '../../platform/errors.ts'
import { readCertificates } from '../pem.ts'
import { summarize, summaryLines } from '../summary.ts'
import { outputFlag, trustDomainFlag } from './flags.ts'

export const show: Command = {
  usage: 'show <file>... [flags]',
  summary: 'Show what is in certificates.',
  about: [
    'Reads every certificate of each PEM file: subject, names, role and cluster, dates, days left, SHA-256 fingerprint.',
    'Never shows a key. A file that cannot be read does not keep the others from being shown; the exit code is then 1.',
  ],
  flags: {
    'trust-domain': trustDomainFlag('Read roles from URIs of this trust domain only.'),
    output: outputFlag,
  },
  examples: [
    'culvert pki show pki/ca.crt pki/hub-0.crt',
    "culvert pki show -o json pki/*.crt | jq '.[] | select(.daysLeft < 30) | .file'",
  ],
  run: async (given, problems, nowUnixMs) => {
    const found = given.words.length === 0 ? [...problems, 'name the certificate files to show'] : problems
    if (found.length > 0) return { kind: 'refused', problems: found }
    const shown: { readonly file: string; readonly json: object; readonly text: readonly string[] }[] = []
    const warnings: string[] = []
    for (const file of given.words) {
      try {
        for (const certificate of readCertificates(file)) {
          const { identity, ...summary } = summarize(certificate, nowUnixMs, given.value('trust-domain'))
          const text = summaryLines({ identity, ...summary }, certificate.subjectAltName)
          shown.push({ file, json: { file, ...summary, ...identity }, text })
        }
      } catch (error) {
        if (!(error instanceof TunnelError)) throw error
        warnings.push(error.message)
      }
    }
    const json = given.value('output') === 'json'
    const lines = json
      ? [
          JSON.stringify(
            shown.map((one) => one.json),
            undefined,
            2,
          ),
        ]
      : shown.flatMap(({ file, text }, index) => [...(index === 0 ? [] : ['']), file, ...text])
    return { kind: warnings.length > 0 ? 'failed' : 'done', lines, warnings }
  },
}
