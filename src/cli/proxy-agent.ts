/** The program `proxy-agent`: konnectivity's flags, Culvert's agent. */
import { systemClock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import { createLog } from '../platform/log.ts'
import { helpText, problemText } from '../platform/option-help.ts'
import { readOptions } from '../platform/options.ts'
import { ignoreUserSignals, onHangup, shutdownSignals } from '../platform/shutdown.ts'
import { readVersion } from '../platform/version.ts'
import { agentRules, agentWarnings } from '../proxy-agent/option-rules.ts'
import { agentOptions } from '../proxy-agent/options.ts'
import { runAgent } from '../proxy-agent/run.ts'

const about = {
  program: 'proxy-agent',
  summary:
    'Connects out of a cluster to a proxy-server and opens, inside it, the connections that the server asks for.',
}

const read = readOptions(agentOptions, process.argv.slice(2), agentRules, process.env)
if (read.ok === 'asked') {
  process.stdout.write(read.for === 'help' ? helpText(agentOptions, about) : `${about.program} ${readVersion()}\n`)
} else if (!read.ok) {
  process.stderr.write(problemText('agent', read))
  process.exitCode = 1
} else {
  const { values: options } = read
  const log = createLog(about.program, options)
  using shutdown = shutdownSignals()
  ignoreUserSignals()
  for (const warning of agentWarnings(options)) log.warn({}, warning)
  try {
    await runAgent(options, { clock: systemClock, log, shutdown, onHangup, version: readVersion() })
    process.exit(0)
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    process.stderr.write(problemText('agent', { misread: [], problems: error.message.split('\n') }))
    process.exit(1)
  }
}
