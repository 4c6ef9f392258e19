/**
 * A group of commands, such as `culvert pki`: finds the command by its name, reads its line, and prints what it gives. What a
 * command is: src/platform/command-line.ts.
 */
import { systemClock } from '../platform/clock.ts'
import { type Command, commandHelp, type Outcome, readLine } from '../platform/command-line.ts'
import { TunnelError } from '../platform/errors.ts'

export type CommandGroup = {
  /** As it is typed: `culvert pki`. */
  readonly program: string
  readonly summary: string
  readonly commands: Readonly<Record<string, Command>>
  /** What the help of the group ends with: a heading, and below it examples. */
  readonly examples: readonly [heading: string, ...lines: string[]]
  /** What somebody may have meant who gave a word that is no command. */
  readonly otherwise?: (word: string) => string
}

/** @returns the exit code */
export async function runGroup(group: CommandGroup, argv: readonly string[]): Promise<number> {
  const { program, commands } = group
  const [name, ...rest] = argv
  if (name === '--help' || name === '-h' || name === 'help') {
    console.log(groupHelp(group))
    return 0
  }
  const command = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    const kind = name?.startsWith('-') ? 'flag' : 'command'
    console.error(`${program}: ${name === undefined ? 'no command given' : `unknown ${kind} ${JSON.stringify(name)}`}`)
    if (name !== undefined && group.otherwise) console.error(group.otherwise(name))
    console.error(`expected one of ${Object.keys(commands).join(', ')}; "${program} --help" says more`)
    return 1
  }
  const line = readLine(command.flags, rest)
  if (line.help) {
    console.log(commandHelp(program, command))
    return 0
  }
  return print(`${program} ${name}`, await outcomeOf(command, line))
}

function groupHelp({ program, summary, commands, examples: [heading, ...lines] }: CommandGroup): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length)) + 2
  return [
    summary,
    '',
    `Usage: ${program} <command> [flags]`,
    '',
    'Commands:',
    ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`),
    '',
    `"${program} <command> --help" says more.`,
    '',
    heading,
    ...lines.map((line) => `  ${line}`),
  ].join('\n')
}

async function outcomeOf(command: Command, { given, problems }: ReturnType<typeof readLine>): Promise<Outcome> {
  try {
    return await command.run(given, problems, systemClock.unixMs())
  } catch (error) {
    if (error instanceof TunnelError) return { kind: 'failed', lines: [], warnings: error.message.split('\n') }
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
