/** `culvert status`: the clusters of a running hub, and what changes, from its admin port. */
import { stringify } from 'yaml'
import { systemClock } from '../platform/clock.ts'
import { commandHelp, type Given, type Help, readLine } from '../platform/command-line.ts'
import { TunnelError } from '../platform/errors.ts'
import type { ServerEvent } from './event-stream.ts'
import { fleetTable, printable, type SeenCluster } from './fleet-table.ts'
import { connectHub, type Hub } from './hub-client.ts'

const FORMATS = ['text', 'wide', 'json', 'yaml']
/** Before a hub that went away is asked again: milliseconds. */
const AGAIN_MS = 2_000

const line: Help = {
  usage: '[cluster] [flags]',
  summary: 'Show which clusters are connected to a running hub.',
  about: [
    'Asks the admin port of proxy-server. Exit code 0: it answered; 1: it did not, or there is no such cluster. With --watch each',
    'change is a line, until you end it; a hub that is restarted is followed again.',
  ],
  flags: {
    server: {
      takes: 'url',
      default: 'http://127.0.0.1:8095',
      help: 'Its admin port.',
      problem: (text) =>
        /^https?:\/\/[^/]+\/?$/.test(text) && URL.canParse(text) ? undefined : 'http://host:port or https://host:port',
    },
    'token-file': { takes: 'file', help: 'File with the token of --admin-token-file.' },
    'ca-cert': { takes: 'file', help: 'CA of the certificate that the port shows.' },
    cert: { takes: 'file', help: 'Certificate to show, of --admin-ca-cert.' },
    key: { takes: 'file', help: 'Its private key.' },
    watch: { short: 'w', help: 'Go on, and tell each change as it comes.' },
    output: {
      takes: 'format',
      short: 'o',
      default: 'text',
      help: 'text, wide, json or yaml.',
      problem: (text) => (FORMATS.includes(text) ? undefined : 'text, wide, json or yaml'),
    },
  },
  examples: [
    'culvert status',
    'culvert status eu-1 -o yaml',
    'culvert status --server https://hub-0:8095 --ca-cert ca.crt --token-file token --watch',
  ],
}

/** @param program as it was called. @returns the exit code */
export async function status(argv: readonly string[], program = 'culvert status'): Promise<number> {
  const { given, problems, help } = readLine(line.flags, argv)
  if (help) {
    console.log(commandHelp('culvert', { ...line, usage: `status ${line.usage}` }))
    return 0
  }
  const found = [...problems, ...mistakes(given)]
  if (found.length > 0) {
    for (const problem of found) console.error(`${program}: ${problem}`)
    console.error('"culvert status --help" says more')
    return 1
  }
  try {
    const hub = connectHub({
      url: given.value('server') ?? '',
      tokenFile: given.value('token-file'),
      caCert: given.value('ca-cert'),
      cert: given.value('cert'),
      key: given.value('key'),
    })
    if (given.isSet('watch')) await watch(hub, given, program)
    else await show(hub, given)
    return 0
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error
    console.error(`${program}: ${error.message}`)
    return 1
  }
}

function mistakes(given: Given): string[] {
  const found: string[] = []
  if (given.words.length > 1) found.push(`${JSON.stringify(given.words[1])}: unexpected; one cluster can be named`)
  if (given.isSet('cert') !== given.isSet('key')) found.push('--cert and --key belong together')
  return found
}

async function show(hub: Hub, given: Given): Promise<void> {
  const [id] = given.words
  const path = id === undefined ? '/v1/clusters' : `/v1/clusters/${encodeURIComponent(id)}`
  const answer = await hub.ask(path)
  const format = given.value('output')
  if (format === 'json') return void process.stdout.write(answer)
  if (format === 'yaml') return void process.stdout.write(stringify(JSON.parse(answer)))
  const value = JSON.parse(answer) as SeenCluster & { clusters: SeenCluster[] }
  const clusters = id === undefined ? value.clusters : [value]
  console.log(fleetTable(clusters, systemClock.unixMs(), format === 'wide').join('\n'))
}

type Told = { readonly time: string; readonly type: string; readonly [field: string]: unknown }

type Snapshot = { readonly clusters: readonly { id: string; state: string; since: string; reason: string }[] }

async function watch(hub: Hub, given: Given, program: string): Promise<void> {
  const [id] = given.words
  const asJson = given.value('output') === 'json'
  let lastId: string | undefined // none: it was not reached yet
  let isAway = false

  function tell(told: Told): void {
    if (id !== undefined && told.cluster !== id) return
    console.log(asJson ? JSON.stringify(told) : changeLine(told))
  }

  function heard({ id: eventId, type, data }: ServerEvent): void {
    if (type !== 'snapshot') tell(JSON.parse(data) as Told)
    else if (lastId === undefined) {
      for (const { id: cluster, state, since, reason } of (JSON.parse(data) as Snapshot).clusters) {
        tell({ time: since, type: state, cluster, reason })
      }
    }
    lastId = eventId ?? lastId
    isAway = false
  }

  for (;;) {
    const failure = await hub.follow('/v1/events', lastId, heard).then(
      () => undefined,
      (error: Error) => error,
    )
    if (lastId === undefined && failure) throw failure
    if (!isAway) console.error(`${program}: ${failure?.message ?? 'the hub ended the connection'}; asking again`)
    isAway = true
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}

function changeLine({ time, type, cluster, agent, source, reason }: Told): string {
  const who = [agent !== undefined && `agent ${agent}`, source !== undefined && `from ${source}`]
    .filter(Boolean)
    .join(' ')
  return printable(
    `${time}  ${type.padEnd(11)}  ${String(cluster ?? '-')}  ${String(reason)}${who === '' ? '' : ` (${who})`}`,
  )
}
