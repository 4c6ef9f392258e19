/** `npm run demo`: the tunnel at work on one machine, without root and with ports of its own. Reads flags, obeys signals. */
import { constants } from 'node:os'
import { createOutput } from './output.ts'
import { runDemo } from './run.ts'

const help = `Starts a proxy-server, a proxy-agent and a private HTTP service, and sends a request through the tunnel.

Usage: npm run demo [-- flags]

Flags:
  --once      End after the last step, instead of staying up until Ctrl-C.
  -h, --help  Show this.
`

const argv = process.argv.slice(2)
const unknown = argv.filter((word) => !['--once', '--help', '-h'].includes(word))
if (unknown.length > 0) {
  process.stderr.write(unknown.map((word) => `demo: ${word}: unknown flag\n`).join(''))
  process.stderr.write('"npm run demo -- --help" says more\n')
  process.exitCode = 1
} else if (argv.some((word) => word !== '--once')) {
  process.stdout.write(help)
} else {
  const controller = new AbortController()
  let signalNumber = 0
  // Listened to until the end: the first signal ends the demo in order, and no later one, as npm and impatience add, breaks that off.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      signalNumber ||= constants.signals[signal]
      controller.abort(signal)
    })
  }
  // As behind `| head`: who reads no more wants no demo.
  process.stdout.on('error', (cause) => controller.abort(cause))
  const output = createOutput((text) => process.stdout.write(text))
  const outcome = await runDemo({ once: argv.includes('--once'), output, controller })
  if (outcome === 'failed') process.exitCode = 1
  if (outcome === 'stopped') process.exitCode = 128 + signalNumber
}
