/** A program: many of our agents in one process, each with its own flags, for tests of more clusters than a machine has room for processes. */
import { readFileSync } from 'node:fs'
import { systemClock } from '../../src/platform/clock.ts'
import { createLog } from '../../src/platform/log.ts'
import { readOptions } from '../../src/platform/options.ts'
import { agentRules } from '../../src/proxy-agent/option-rules.ts'
import { agentOptions } from '../../src/proxy-agent/options.ts'
import { runAgent } from '../../src/proxy-agent/run.ts'

const [file = ''] = process.argv.slice(2)
const never = {
  drain: new AbortController().signal,
  now: new AbortController().signal,
  [Symbol.dispose]: () => undefined,
}
const onHangup = (): Disposable => ({ [Symbol.dispose]: () => undefined })

for (const flags of JSON.parse(readFileSync(file, 'utf8')) as string[][]) {
  const read = readOptions(agentOptions, flags, agentRules)
  if (read.ok !== true) throw new Error(JSON.stringify(read))
  const log = createLog('proxy-agent', read.values)
  void runAgent(read.values, { clock: systemClock, log, shutdown: never, onHangup, version: 'test' })
}
