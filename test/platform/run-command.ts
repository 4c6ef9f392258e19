/** A command of `culvert` in this process, at a time of the test's choosing. The program itself: test/cli. */
import { type Command, type Outcome, readLine } from '../../src/platform/command-line.ts'

export function run(command: Command, argv: readonly string[], nowUnixMs = Date.now()): Promise<Outcome> {
  const { given, problems } = readLine(command.flags, argv)
  return command.run(given, problems, nowUnixMs)
}

export async function problemsOf(command: Command, ...argv: string[]): Promise<readonly string[]> {
  const outcome = await run(command, argv)
  return outcome.kind === 'refused' ? outcome.problems : [`not refused, but ${outcome.kind}`]
}
