/**
 * Every question to the health and admin ports, asked of konnectivity's programs and of ours: the answers are the same, byte
 * for byte, but for those that are listed here with the reason.
 */
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { makePki } from '../integration/certificates.ts'
import { event } from '../integration/deadline.ts'
import { freePort } from '../programs/free-port.ts'
import { type Maker, RELEASES } from './pairing.ts'
import { agentOf, serverOf } from './programs-of.ts'

/** Those that mean something to a client. */
const HEADERS = [
  'content-type',
  'content-encoding',
  'location',
  'x-content-type-options',
  'x-go-pprof',
  'content-disposition',
  'allow',
]
/** The scheme of escaping names is not told by ours: no name needs it. */
const ESCAPING = /; escaping=\w+/g
const PROFILING = ['--enable-profiling', '--enable-contention-profiling']

/** Methods and targets, of every port, and the codings that are accepted. Of those behind a `*` no body that comes with a 200 is compared: figures, profiles, pages. */
const ASKED = [
  ...['GET /healthz', 'HEAD /healthz', 'OPTIONS /healthz', 'POST /healthz', 'GET /healthz?x=1', 'GET /healthz/'],
  ...['GET /ready', 'GET /readyz', 'HEAD /readyz', 'OPTIONS /readyz', 'GET /ready?verbose', 'GET /readyz?verbose=1'],
  ...['GET /', 'GET /none', 'GET /metrics/', 'GET http://127.0.0.1/healthz'],
  ...['* GET /metrics', '* GET /metrics?a=1&b=<x>', 'HEAD /metrics', 'GET /healthz gzip'],
  ...['* GET /metrics gzip', '* GET /metrics deflate,gzip;q=0.5', '* GET /metrics gzip;q=0', '* GET /metrics identity'],
  ...['GET /debug/pprof', 'GET /debug/pprof?x=1', '* GET /debug/pprof/', 'GET /debug/pprof/none', 'GET /debug'],
  ...['* GET /debug/pprof/profile?seconds=1', '* GET /debug/pprof/heap', '* GET /debug/pprof/heap?gc=1'],
  ...['* GET /debug/pprof/block', '* GET /debug/pprof/goroutine', '* GET /debug/pprof/trace?seconds=1'],
  ...['GET /debug/pprof/symbol', 'POST /debug/pprof/symbol', 'GET /debug/pprof/heap?seconds=x'],
]

/** What is not the same, by a piece of the question, and why. */
const DIFFERENT: Readonly<Record<string, string>> = {
  'server health: GET /ready?verbose': 'the checks, one in a line, when they are asked for',
  'server health: GET /readyz?verbose=1': 'the checks, one in a line, when they are asked for',
  'HEAD /metrics': 'the length is told',
  'GET /debug/pprof/none': 'what there never was is a plain 404',
  'GET /debug/pprof/symbol': 'the files carry their names',
  'POST /debug/pprof/symbol': 'the files carry their names',
  'GET /debug/pprof/goroutine': 'there are no goroutines',
  'GET /debug/pprof/trace?seconds=1': 'there are no goroutines',
  'GET /debug/pprof/heap?seconds=x': 'a heap profile is never of some seconds, however they are written',
}

const pki = await makePki(t)
const nobody = await freePort()

type Ports = Readonly<Record<string, number>>

/** The ports of a server and an agent that have found each other, or of both alone. */
async function portsOf(t: Test, maker: Maker, state: 'alone' | 'together', flags: readonly string[]): Promise<Ports> {
  const server = await serverOf(t, maker, pki, flags)
  const agentPort = state === 'alone' ? nobody : server.agentPort
  const agent = await agentOf(t, maker, { pki, agentPort }, ['--sync-interval=100ms', ...flags])
  if (state === 'together') {
    await agent.answersOk(agent.healthPort, '/readyz')
    await server.answersOk(server.healthPort, '/readyz')
  }
  return {
    'server health': server.healthPort,
    'server admin': server.adminPort,
    'agent health': agent.healthPort,
    'agent admin': agent.adminPort,
  }
}

/** Status, the headers that matter and the body, in one text; ports by their names. */
async function answerTo(question: string, port: number, ports: Ports): Promise<string> {
  const [, star, method, path, codings] = /^(\* )?(\S+) (\S+)(?: (\S+))?$/.exec(question) ?? []
  const asking = request({
    host: '127.0.0.1',
    port,
    path: path!,
    method: method!,
    agent: false,
    headers: codings ? { 'Accept-Encoding': codings } : {},
  })
  asking.end()
  const response = await event<IncomingMessage>(asking, 'response')
  const headers = HEADERS.flatMap((name) => (name in response.headers ? [`${name}: ${response.headers[name]}`] : []))
  const body = await text(response)
  const compared =
    star && response.statusCode === 200 ? [] : [`content-length: ${response.headers['content-length']}`, '', body]
  const answer = [`${response.statusCode} ${response.statusMessage}`, ...headers, ...compared].join('\n')
  const shown = answer.replace(ESCAPING, '')
  return Object.entries(ports).reduce((text, [name, each]) => text.replaceAll(`:${each}`, `:<${name}>`), shown)
}

const reasonFor = (question: string): string | undefined =>
  Object.entries(DIFFERENT).find(([piece]) => question.endsWith(piece))?.[1]

for (const [state, flags] of [
  ['alone', PROFILING],
  ['together', []],
] as const) {
  t.test(`health and admin ports answer as konnectivity's do: ${state}`, async (t) => {
    const [ours, stock] = [await portsOf(t, 'ours', state, flags), await portsOf(t, RELEASES[0], state, flags)]
    const unlike = new Set<string>()
    for (const name of Object.keys(ours)) {
      for (const asked of ASKED) {
        const question = `${name}: ${asked.replace('* ', '')}`
        const [got, expected] = [await answerTo(asked, ours[name]!, ours), await answerTo(asked, stock[name]!, stock)]
        if (got !== expected && reasonFor(question)) unlike.add(reasonFor(question)!)
        else t.equal(got, expected, question)
      }
    }
    for (const reason of unlike) t.comment(`differs on purpose: ${reason}`)
    if (flags.length > 0) t.strictSame(unlike, new Set(Object.values(DIFFERENT)), 'and nothing is listed in vain')
  })
}
