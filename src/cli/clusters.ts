/** `culvert clusters`: the clusters that a proxy-server knows. */
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
  ],
}

/** @returns the exit code */
export function clusters(argv: readonly string[]): Promise<number> {
  return runGroup(group, argv)
}
