/** `culvert clusters`: the clusters that a proxy-server knows; with flags alone those of a running one, as `culvert status`. */
import { add } from '../clusters/commands/add.ts'
import { list } from '../clusters/commands/list.ts'
import { remove } from '../clusters/commands/remove.ts'
import { show } from '../clusters/commands/show.ts'
import { validate } from '../clusters/commands/validate.ts'
import { type CommandGroup, runGroup } from './command-group.ts'

const group: CommandGroup = {
  program: 'culvert clusters',
  summary: 'Edit and explain the clusters that a proxy-server with --tenancy=multi knows.',
  commands: { add, list, show, remove, validate },
  examples: [
    'A hub of two clusters:',
    'culvert clusters add eu-1',
    'culvert clusters add eu-2 --server-name eu-2.hub.example',
    'culvert clusters validate',
    'proxy-server --tenancy=multi --clusters clusters.yaml ...',
    'culvert clusters -o wide    # without a command: who is connected to it; "culvert status --help"',
    'culvert clusters --watch',
  ],
  otherwise: (word) =>
    `for one cluster of a running hub: "culvert status ${word}"; of the file: "culvert clusters show ${word}"`,
}

/** @returns the exit code */
export async function clusters(argv: readonly string[]): Promise<number> {
  const [first] = argv
  const isOfRunning = first === undefined || (first.startsWith('-') && first !== '--help' && first !== '-h')
  return isOfRunning ? (await import('./status.ts')).status(argv, group.program) : runGroup(group, argv)
}
