/** `culvert clusters validate`: whether a proxy-server would take the files. */
import type { Command } from '../../platform/command-line.ts'
import { WHY_PASSED_OVER } from '../../platform/watched.ts'
import { loadClusters } from '../files.ts'
import { clustersFlag, outputFlag, pathOf, printed, wordProblems } from './flags.ts'

export const validate: Command = {
  usage: 'validate [flags]',
  summary: 'Check the clusters as a proxy-server does.',
  about: [
    'Reports every mistake with its file and line: what config/clusters.schema.json does not allow, and what leads to two clusters. The',
    'exit code is then 1. Warns of files of a folder that a proxy-server ignores for the case of their names.',
  ],
  flags: { clusters: clustersFlag, output: outputFlag },
  examples: ['culvert clusters validate', 'culvert clusters validate --clusters /etc/culvert/clusters.d'],
  run: async (given, problems) => {
    const found = [...problems, ...wordProblems(given, 'validate')]
    if (found.length > 0) return { kind: 'refused', problems: found }
    const path = pathOf(given)
    const warnings: string[] = []
    const passedOver = (files: readonly string[]): void =>
      void warnings.push(...files.map((file) => `${file}: ${WHY_PASSED_OVER}`))
    const count = loadClusters(path, passedOver).length
    const text = [`${path}: good: ${count} ${count === 1 ? 'cluster' : 'clusters'}`]
    return { kind: 'done', lines: printed(given, { ok: true, path, clusters: count }, () => text), warnings }
  },
}
