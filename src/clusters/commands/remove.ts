/** `culvert clusters remove`: a cluster less. */
import type { Command } from '../../platform/command-line.ts'
import { removeCluster } from '../files.ts'
import { clustersFlag, idOf, pathOf } from './flags.ts'

export const remove: Command = {
  usage: 'remove <id> [flags]',
  summary: 'Remove a cluster.',
  about: [
    'Removes its document, and the file when that is one of a folder and has no other. What else is there stays as it is.',
    'A running proxy-server cuts off its agents and clients within seconds.',
  ],
  flags: { clusters: clustersFlag },
  examples: ['culvert clusters remove eu-1', 'culvert clusters remove eu-1 --clusters /etc/culvert/clusters.d'],
  run: async (given, problems) => {
    const found = [...problems]
    const id = idOf(given, found, 'remove')
    if (found.length > 0 || id === undefined) return { kind: 'refused', problems: found }
    return { kind: 'done', lines: [`Removed cluster ${id} from ${removeCluster(pathOf(given), id)}.`] }
  },
}
