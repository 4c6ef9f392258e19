/**
 * What both servers answer to a CONNECT, good or not: the same, but for the reason phrase and `Proxy-Status`, and but for the
 * rows of the table in docs/compatibility.md, whose every word in code marks is looked for in the answer.
 */
import t from 'tap'
import { makePki } from '../integration/certificates.ts'
import { connectFrontend, connectHead, type FrontendAnswer, readAnswer } from '../integration/client.ts'
import { within } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { freePort } from '../programs/free-port.ts'
import { documentedAnswers, unmet } from './answers-table.ts'
import { RELEASES } from './pairing.ts'
import { agentOf, type RunningServer, serverOf } from './programs-of.ts'

/** Konnectivity waits a minute for a head. */
const ANSWER_DEADLINE_MS = 90_000

const pki = await makePki(t)
const { address } = await listenTarget(t, echo)
const nobody = `127.0.0.1:${await freePort()}`
const withField = (field: string): string => `CONNECT ${address} HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`
const manyFields = Array.from({ length: 101 }, (_, index) => `A${index}: b`).join('\r\n')

/** Rows are known by the first cell, without code marks. */
const HEADS: Readonly<Record<string, string>> = {
  'a target that is there': connectHead(address),
  'HTTP/1.0': `CONNECT ${address} HTTP/1.0\r\n\r\n`,
  'no Host': `CONNECT ${address} HTTP/1.1\r\n\r\n`,
  'Expect: 100-continue': withField('Expect: 100-continue'),
  'Content-Length: 0': withField('Content-Length: 0'),
  'a target that refuses': connectHead(nobody),
  'no port': connectHead('127.0.0.1'),
  'no port behind a name': connectHead('localhost'),
  'no port behind brackets': connectHead('[::1]'),
  'a port over 65535': connectHead('127.0.0.1:70000'),
  'a port that is a word': connectHead('127.0.0.1:http'),
  'an IPv6 address without brackets': connectHead('::1:80'),
  'something else': 'hello there\r\n\r\n',
  'an empty line first': `\r\n${connectHead(address)}`,
  'two Host fields': withField('Host: b'),
  'a field without a colon': withField('foo'),
  'a control byte': withField('foo: a\x01b'),
  'HTTP/3.0': `CONNECT ${address} HTTP/3.0\r\nHost: a\r\n\r\n`,
  'Transfer-Encoding: chunked': `${withField('Transfer-Encoding: chunked')}3\r\nabc\r\n0\r\n\r\n`,
  'Content-Length: 3': `${withField('Content-Length: 3')}abc`,
  'lines that end with LF alone': `CONNECT ${address} HTTP/1.1\nHost: a\n\n`,
  'a line that begins with a space': withField('A: b\r\n c'),
  'a space before the colon': withField('A : b'),
  'a head of 20 KB': withField(`A: ${'b'.repeat(20_000)}`),
  'more than 100 fields': withField(manyFields),
  'a head that does not end': 'CONNECT 10.0.0.1:443 HT',
  'a URL as the target': connectHead(`http://${address}/`),
  'a path as the target': connectHead('/x'),
  'a path behind the target': connectHead(`${address}/x`),
  'a!b:80': connectHead('a!b:80'),
  ':80': connectHead(':80'),
  'port 0': connectHead('127.0.0.1:0'),
  'an empty port': connectHead('127.0.0.1:'),
  'a port with a zero in front': connectHead(address.replace(/:(\d)/, ':0$1')),
  'GET /': 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'connect, in lower case': connectHead(address).replace('CONNECT', 'connect'),
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
}

/** Asked before there is an agent. */
const ALONE: Readonly<Record<string, string>> = {
  'no agent': connectHead(address),
  'no port, and no agent': connectHead('127.0.0.1'),
}

/** The whole text of an answer: up to its end, or as far as it goes when the connection stays open. */
async function answerTo(server: RunningServer, head: string): Promise<string> {
  const socket = await connectFrontend(server)
  const { promise, resolve } = Promise.withResolvers<void>()
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    const [, status, length = '0'] =
      /^HTTP\/1.1 (\d+)(?:.*\r\n)*?(?:Content-Length: (\d+)\r\n(?:.+\r\n)*)?\r\n/.exec(text) ?? []
    const body = text.slice(text.indexOf('\r\n\r\n') + 4)
    if (status === '200' || (length !== '0' && body.length >= Number(length))) resolve()
  })
  for (const over of ['end', 'error', 'close']) socket.once(over, () => resolve())
  socket.write(Buffer.from(head, 'latin1'))
  await within(promise, `an answer to ${JSON.stringify(head.slice(0, 100))}`, ANSWER_DEADLINE_MS)
  socket.destroy()
  return text
}

const answersOf = async (
  server: RunningServer,
  heads: Readonly<Record<string, string>>,
): Promise<Map<string, string>> =>
  new Map(
    await Promise.all(Object.entries(heads).map(async ([name, head]) => [name, await answerTo(server, head)] as const)),
  )

/** What has to be the same. A tunnel's bytes are not part of the answer. */
function essence(text: string): Pick<FrontendAnswer, 'status' | 'headers' | 'body'> {
  const { status, headers, body } = readAnswer(text)
  const { 'proxy-status': _, ...rest } = headers
  return { status, headers: rest, body: status === 200 ? '' : body }
}

t.setTimeout(ANSWER_DEADLINE_MS * 2)

void t.test('answers are konnectivity’s, or as docs/compatibility.md says', { timeout: 0 }, async (t) => {
  const servers = { stock: await serverOf(t, RELEASES[0], pki), ours: await serverOf(t, 'ours', pki) }
  const asked = async (heads: typeof HEADS): Promise<{ stock: Map<string, string>; ours: Map<string, string> }> => {
    const [stock, ours] = await Promise.all([answersOf(servers.stock, heads), answersOf(servers.ours, heads)])
    return { stock, ours }
  }
  const alone = await asked(ALONE)
  for (const server of Object.values(servers)) {
    await agentOf(t, RELEASES[0], server, ['--sync-interval=100ms'])
    await server.answersOk(server.healthPort, '/readyz')
  }
  const together = await asked(HEADS)
  const stock = new Map([...alone.stock, ...together.stock])
  const ours = new Map([...alone.ours, ...together.ours])

  const rows = documentedAnswers('## Answers to a CONNECT')
  for (const { request, stock: stockCell, ours: oursCell } of rows) {
    t.ok(stock.has(request), `the row "${request}" is one that is asked`)
    for (const [maker, cell, answers] of [
      ['konnectivity', stockCell, stock],
      ['Culvert', oursCell, ours],
    ] as const) {
      const text = answers.get(request) ?? ''
      t.ok(cell.startsWith(`\`${readAnswer(text).status}\``), `${request}: ${maker} answers ${cell}, not ${text}`)
      t.strictSame(unmet(cell, text), [], `${request}: ${maker}`)
    }
  }
  for (const [request, text] of ours) {
    const [got, expected] = [essence(text), essence(stock.get(request)!)]
    if (rows.some((row) => row.request === request)) t.notSame(got, expected, `${request} is not in the table in vain`)
    else t.strictSame(got, expected, request)
  }
})
