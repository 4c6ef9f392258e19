/** `culvert clusters show`: how one cluster is known and what it may. */
import type { Command } from '../../platform/command-line.ts'
import { TunnelError } from '../../platform/errors.ts'
import { asDocument, explain } from '../explain.ts'
import { loadClusters } from '../files.ts'
import { clustersFlag, idOf, outputFlag, pathOf, printed } from './flags.ts'

export const show: Command = {
  usage: 'show <id> [flags]',
  summary: 'Explain one cluster.',
  about: ['Says by what its agents and clients are known, and what it may use, the limits that nobody set included.'],
  flags: { clusters: clustersFlag, output: outputFlag },
  examples: ['culvert clusters show eu-1', 'culvert clusters show eu-1 --clusters /etc/culvert/clusters.d -o yaml'],
  run: async (given, problems) => {
    const found = [...problems]
    const id = idOf(given, found, 'show')
    if (found.length > 0) return { kind: 'refused', problems: found }
    const cluster = loadClusters(pathOf(given)).find((each) => each.id === id)
    if (!cluster) throw new TunnelError('bad-option', `${pathOf(given)}: there is no cluster ${id}`)
    return { kind: 'done', lines: printed(given, asDocument(cluster), () => explain(cluster)) }
  },
}
