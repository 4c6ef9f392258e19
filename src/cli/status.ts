/** `culvert status`: the clusters of a running hub, and what changes, from its admin port. */
import { nearNames } from '../clusters/near-names.ts'
import { type Clock, systemClock } from '../platform/clock.ts'
import { commandHelp, type Given, type Help, readLine } from '../platform/command-line.ts'
import { TunnelError } from '../platform/errors.ts'
import { isLocal } from '../platform/local-names.ts'
import { fleetTable, type SeenCluster } from './fleet-table.ts'
import { type Screen, watchLines, watchScreen } from './fleet-watch.ts'
import { jsonOf, readAnswer, yamlOf } from './hub-answer.ts'
import { connectHub, type Hub } from './hub-client.ts'

const FORMATS = ['text', 'wide', 'json', 'yaml']

const line: Help = {
  usage: '[cluster] [flags]',
  summary: 'Show which clusters are connected to a running hub.',
  about: [
    'Asks the admin port of proxy-server. Exit code 0: it answered; 1: it did not, or there is no such cluster. With --watch a',
    'terminal shows the table as it is now, with the last changes, until you end it. Written to a file or another program, and with',
    '-o json or yaml, each change is a line or a document of its own. A hub that is restarted is followed again.',
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
    watch: { short: 'w', help: 'Go on, and show what changes.' },
    output: {
      takes: 'format',
      short: 'o',
      default: 'text',
      help: 'text; wide, with round trips, versions and reasons; json or yaml.',
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
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0) // who read this has had enough, as `head` has
  })
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
  const server = URL.parse(given.value('server') ?? '')
  if (given.isSet('token-file') && server?.protocol === 'http:' && !isLocal(server.hostname.replace(/^\[|\]$/g, ''))) {
    found.push('--token-file needs https:// beyond this machine: a token is not shown in clear')
  }
  return found
}

async function show(hub: Hub, given: Given): Promise<void> {
  const format = given.value('output')
  const answer = await read(hub, given)
  if (format === 'json') console.log(jsonOf(answer, 2))
  else if (format === 'yaml') process.stdout.write(yamlOf(answer))
  else console.log(tableOf(answer, given).join('\n'))
}

/** @throws TunnelError `no-answer`, with the names of others, when the cluster is not there */
async function read(hub: Hub, given: Given): Promise<unknown> {
  const [id] = given.words
  const answer = await hub.ask(id === undefined ? ALL : `${ALL}/${encodeURIComponent(id)}`)
  if (answer !== undefined) return readAnswer(answer)
  const all = await hub.ask(ALL)
  if (id === undefined || all === undefined) {
    throw new TunnelError(
      'no-answer',
      `${given.value('server')} knows of no clusters: is it the admin port of a proxy-server?`,
    )
  }
  const ids = (readAnswer(all) as { clusters: SeenCluster[] }).clusters.map((cluster) => cluster.id)
  throw new TunnelError(
    'no-answer',
    `no agent of a cluster ${JSON.stringify(id)} has been there: ${nearNames(id, ids)}`,
  )
}

const ALL = '/v1/clusters'

function tableOf(answer: unknown, given: Given): string[] {
  const value = answer as SeenCluster & { clusters: SeenCluster[] }
  const clusters = given.words.length === 0 ? value.clusters : [value]
  return fleetTable(clusters, systemClock.unixMs(), given.value('output') === 'wide')
}

function watch(hub: Hub, given: Given, program: string): Promise<never> {
  const [id] = given.words
  const format = given.value('output')
  const isTable = format !== 'json' && format !== 'yaml'
  if (isTable && process.stdout.isTTY) {
    return watchScreen(hub, id, awake, terminal, async () => tableOf(await read(hub, given), given))
  }
  return watchLines(hub, id, awake, {
    format: isTable ? 'text' : format,
    print: (text) => console.log(text),
    complain: (problem) => console.error(`${program}: ${problem}`),
  })
}

/** Keeps the process alive: there is nothing but waiting while a hub is away. */
const awake: Clock = {
  ...systemClock,
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  },
}

const terminal: Screen = {
  write: (text) => void process.stdout.write(text),
  size: () => ({ columns: process.stdout.columns, rows: process.stdout.rows }),
}
