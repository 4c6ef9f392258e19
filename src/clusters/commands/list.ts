/** `culvert clusters list`: what the files have. */
import type { Command } from '../../platform/command-line.ts'
import type { Cluster } from '../cluster.ts'
import { asDocument } from '../explain.ts'
import { loadClusters } from '../files.ts'
import { clustersFlag, outputFlag, pathOf, printed, wordProblems } from './flags.ts'

export const list: Command = {
  usage: 'list [flags]',
  summary: 'List the clusters.',
  about: [
    'One line for each cluster: how many mappings its agents and clients have besides SPIFFE URIs, the server names and the socket that',
    'lead to it. json and yaml have all there is, the limits that nobody set included.',
  ],
  flags: { clusters: clustersFlag, output: outputFlag },
  examples: ['culvert clusters list', "culvert clusters list -o json | jq '.[] | {id, limits}'"],
  run: async (given, problems) => {
    const found = [...problems, ...wordProblems(given, 'list')]
    if (found.length > 0) return { kind: 'refused', problems: found }
    const clusters = loadClusters(pathOf(given))
    return { kind: 'done', lines: printed(given, clusters.map(asDocument), () => table(clusters)) }
  },
}

function table(clusters: readonly Cluster[]): string[] {
  if (clusters.length === 0) return ['No clusters: add one with "culvert clusters add <id>".']
  const rows = [['ID', 'AGENTS', 'CLIENTS', 'SERVER NAMES', 'SOCKET'], ...clusters.map(row)]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0))) ?? []
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function row({ id, agents, frontends }: Cluster): string[] {
  const mapped = ({ subjects, names, users }: Cluster['agents']): string =>
    String(subjects.length + names.length + users.length)
  return [id, mapped(agents), mapped(frontends), frontends.serverNames.join(',') || '-', frontends.socket ?? '-']
}
