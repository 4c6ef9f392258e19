/** Holds a command that has `--cluster` to the clusters of a hub, when it is told by `--clusters` where they are listed. */
import type { Command } from '../platform/command-line.ts'
import { loadClusters } from './files.ts'
import { nearNames } from './near-names.ts'

export function inKnownCluster(command: Command): Command {
  const clusters = {
    takes: 'path',
    help: 'The clusters file or folder of a hub with --tenancy=multi: a cluster that is not in it is refused.',
  }
  return {
    ...command,
    flags: { ...command.flags, clusters },
    async run(given, problems, nowUnixMs) {
      const [path, cluster] = [given.value('clusters'), given.value('cluster')]
      if (path === undefined || cluster === undefined || problems.length > 0) {
        return command.run(given, problems, nowUnixMs)
      }
      const ids = loadClusters(path).map(({ id }) => id)
      if (ids.includes(cluster)) return command.run(given, problems, nowUnixMs)
      const problem = `${path}: there is no cluster ${cluster}: ${nearNames(cluster, ids)}`
      return { kind: 'failed', lines: [], warnings: [problem] }
    },
  }
}
