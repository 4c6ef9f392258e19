/** The program `proxy-server`: konnectivity's flags, Culvert's server. */
import { systemClock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import { createLog } from '../platform/log.ts'
import { helpText, problemText } from '../platform/option-help.ts'
import { readOptions } from '../platform/options.ts'
import { ignoreUserSignals, shutdownSignals } from '../platform/shutdown.ts'
import { readVersion } from '../platform/version.ts'
import { serverRules, serverWarnings } from '../proxy-server/option-rules.ts'
import { serverOptions } from '../proxy-server/options.ts'
import { runServer } from '../proxy-server/run.ts'

const about = {
  program: 'proxy-server',
  summary:
    'Takes gRPC calls or CONNECT requests, as --mode says, and has the agents of a cluster open the connections, inside it.',
}

const read = readOptions(serverOptions, process.argv.slice(2), serverRules, process.env)
if (read.ok === 'asked') {
  process.stdout.write(read.for === 'help' ? helpText(serverOptions, about) : `${about.program} ${readVersion()}\n`)
} else if (!read.ok) {
  process.stderr.write(problemText('server', read))
  process.exitCode = 1
} else {
  const { values: options } = read
  const log = createLog(about.program, options)
  using shutdown = shutdownSignals()
  ignoreUserSignals()
  for (const warning of serverWarnings(options)) log.warn({}, warning)
  try {
    await runServer(options, { clock: systemClock, log, shutdown })
    process.exit(shutdown.now.aborted ? 1 : 0)
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    process.stderr.write(problemText('server', { misread: [], problems: error.message.split('\n') }))
    process.exit(1)
  }
}
