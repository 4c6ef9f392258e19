/** `culvert pki`: the certificates of a hub. Finds the command, and prints what it gives. */

import { type Command, commandHelp, type Outcome, readLine } from '../pki/command-line.ts'
import { init } from '../pki/commands/init.ts'
import { issue } from '../pki/commands/issue.ts'
import { show } from '../pki/commands/show.ts'
import { verify } from '../pki/commands/verify.ts'
import { systemClock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'

const commands: Readonly<Record<string, Command>> = { init, issue, show, verify }
const PROGRAM = 'culvert pki'

const help = [
  'Make and inspect the certificates of a hub.',
  '',
  `Usage: ${PROGRAM} <command> [flags]`,
  '',
  'Commands:',
  ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}`),
  '',
  `"${PROGRAM} <command> --help" says more.`,
  '',
  'From nothing to a tunnel:',
  '  culvert pki init --trust-domain hub.example',
  '  culvert pki issue server hub-0 --dns hub.example',
  '  culvert pki issue apiserver --cluster default --out apiserver',
  '  culvert pki issue agent agent-0 --cluster default --out agent',
  '  culvert pki show pki/*.crt',
].join('\n')

/** @returns the exit code */
export async function pki(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === '--help' || name === '-h' || name === 'help') {
    console.log(help)
    return 0
  }
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    console.error(`${PROGRAM}: ${name === undefined ? 'no command given' : `unknown command ${JSON.stringify(name)}`}`)
    console.error(`expected one of ${Object.keys(commands).join(', ')}; "${PROGRAM} --help" says more`)
    return 1
  }
  const line = readLine(command.flags, rest)
  if (line.help) {
    console.log(commandHelp(PROGRAM, command))
    return 0
  }
  return print(`${PROGRAM} ${name}`, await outcomeOf(command, line))
}

async function outcomeOf(command: Command, { given, problems }: ReturnType<typeof readLine>): Promise<Outcome> {
  try {
    return await command.run(given, problems, systemClock.unixMs())
  } catch (error) {
    if (error instanceof TunnelError) return { kind: 'failed', lines: [], warnings: [error.message] }
    throw error
  }
}

function print(program: string, outcome: Outcome): number {
  if (outcome.kind === 'refused') {
    for (const problem of outcome.problems) console.error(`${program}: ${problem}`)
    console.error(`"${program} --help" says more`)
    return 1
  }
  if (outcome.lines.length > 0) console.log(outcome.lines.join('\n'))
  for (const warning of outcome.warnings ?? []) console.error(`${program}: ${warning}`)
  return outcome.kind === 'done' ? 0 : 1
}
