/** `culvert sni-router`: the shared front door of a hub. Reads its flags and runs it. */
import { systemClock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import { createLog } from '../platform/log.ts'
import { helpText } from '../platform/option-help.ts'
import { readOptions } from '../platform/options.ts'
import { readSmallFile } from '../platform/secret-file.ts'
import { ignoreUserSignals, shutdownSignals } from '../platform/shutdown.ts'
import { readVersion } from '../platform/version.ts'
import { loadConfig, MAX_CONFIG_BYTES } from '../sni-router/config-file.ts'
import { configWarnings } from '../sni-router/core/config.ts'
import { type RouterOptions, routerOptions, routerRules } from '../sni-router/options.ts'
import { runRouter } from '../sni-router/run.ts'

const program = 'culvert sni-router'
const summary =
  'The front door that many clusters share: reads the server name of a TLS ClientHello, decrypts nothing, and passes the connection on to the backend of that name.'
const examples = [
  'Examples:',
  '  culvert sni-router --config front-door.yaml --check',
  '  culvert sni-router --config front-door.yaml --drain-timeout 5m',
  '  kill -HUP <pid>    # looks at the file at once; it is looked at every five seconds anyway',
].join('\n')

/** @returns the exit code */
export async function sniRouter(argv: readonly string[]): Promise<number> {
  const read = readOptions(routerOptions, argv, routerRules, process.env)
  if (read.ok === 'asked') {
    const help = `${helpText(routerOptions, { program, summary })}\n${examples}`
    console.log(read.for === 'help' ? help : `culvert ${readVersion()}`)
    return 0
  }
  if (!read.ok) return refused([...read.misread, ...read.problems])
  try {
    return read.values.check ? checked(read.values) : await served(read.values)
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    return refused(error.message.split('\n'))
  }
}

function checked({ config }: RouterOptions): number {
  const loaded = loadConfig(config, readSmallFile(config, MAX_CONFIG_BYTES))
  if (!loaded.ok) return refused(loaded.problems)
  for (const warning of configWarnings(loaded.value)) console.error(`${program}: ${config}: warning: ${warning}`)
  console.log(`${config} is good: ${loaded.value.routes.length} routes${loaded.value.fallback ? ' and a default' : ''}`)
  return 0
}

async function served(options: RouterOptions): Promise<number> {
  const log = createLog('sni-router', options)
  using shutdown = shutdownSignals()
  ignoreUserSignals()
  const onReload = (reload: () => void): void => void process.on('SIGHUP', reload)
  await runRouter(options, { clock: systemClock, log, shutdown, onReload })
  process.exit(0) // a lookup that hangs must not hold the end
}

function refused(problems: readonly string[]): number {
  for (const problem of problems) console.error(`${program}: ${problem}`)
  console.error(`"${program} --help" says more`)
  return 1
}
