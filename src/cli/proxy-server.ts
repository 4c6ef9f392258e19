/**
 * The program `proxy-server`: konnectivity's flags, Culvert's server. With `--workers` it starts itself once more for each of
 * them; such a process is told by its first argument, and by the one that started it, what it is.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { systemClock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import { createLog, type Log, openLogSink } from '../platform/log.ts'
import { type Level, logFilePath } from '../platform/log-routes.ts'
import { helpText, problemText } from '../platform/option-help.ts'
import { readOptions } from '../platform/options.ts'
import { ignoreSignals, ignoreUserSignals, onHangup, shutdownSignals } from '../platform/shutdown.ts'
import { readVersion } from '../platform/version.ts'
import { serverRules, serverWarnings } from '../proxy-server/option-rules.ts'
import { serverOptions } from '../proxy-server/options.ts'
import { runServer } from '../proxy-server/run.ts'
import { processOrders } from '../proxy-server/worker-orders.ts'

const about = {
  program: 'proxy-server',
  summary:
    'Takes gRPC calls or CONNECT requests, as --mode says, and has the agents of a cluster open the connections, inside it.',
}

/** Before all others of a worker's arguments, so that a list of processes tells which one it is. */
const WORKER_ARGUMENT = '--worker='

const argv = process.argv.slice(2)
if (argv[0]?.startsWith(WORKER_ARGUMENT) && process.connected) await beWorker()
else await beServer()

async function beServer(): Promise<void> {
  const read = readOptions(serverOptions, argv, serverRules, process.env)
  if (read.ok === 'asked') {
    process.stdout.write(read.for === 'help' ? helpText(serverOptions, about) : `${about.program} ${readVersion()}\n`)
    return
  }
  if (!read.ok) {
    process.stderr.write(problemText('server', read))
    process.exitCode = 1
    return
  }
  const { values: options } = read
  const lines = openLogSink(about.program, options, () => log)
  const log: Log = createLog(about.program, options, lines)
  using shutdown = shutdownSignals()
  ignoreUserSignals()
  for (const warning of serverWarnings(options)) log.warn({}, warning)
  try {
    const deps = { clock: systemClock, log, shutdown, onHangup }
    if (options.workers === 1) await runServer(options, deps)
    else {
      const { runWorkers } = await import('../proxy-server/run-workers.ts')
      await runWorkers(options, { ...deps, lines, launch })
    }
    process.exit(shutdown.now.aborted ? 1 : 0)
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    if (error.code === 'bad-option') {
      process.stderr.write(problemText('server', { misread: [], problems: error.message.split('\n') }))
    } else log.error({ reason: error.message }, 'giving up')
    process.exit(1)
  }
}

/** Its options come from who started it; the arguments are for people. */
function launch(slot: number): ChildProcess {
  return fork(process.argv[1] ?? '', [`${WORKER_ARGUMENT}${slot}`, ...argv], {
    serialization: 'advanced',
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
}

async function beWorker(): Promise<void> {
  ignoreSignals(['SIGINT', 'SIGTERM', 'SIGHUP']) // those of a terminal, or of systemd, go to all processes
  ignoreUserSignals()
  const orders = processOrders(process)
  const { runWorker } = await import('../proxy-server/run-worker.ts')
  await runWorker({
    clock: systemClock,
    orders,
    exit: (code) => process.exit(code),
    openLog(options, slot) {
      const hasFile = logFilePath(about.program, options) !== undefined // one process writes it, and renames it when it is full
      const sink = hasFile
        ? { write: (line: string, level: Level) => orders.report({ is: 'log', line, level }) }
        : undefined
      return createLog(about.program, options, sink).child({ worker: slot })
    },
  })
}
