/**
 * What both servers answer to a call of gRPC mode and to its first packets: the same, but for the rows of the table in
 * docs/compatibility.md.
 */
import type { OutgoingHttpHeaders } from 'node:http2'
import t, { type Test } from 'tap'
import type { Packet } from '../../src/tunnel/packet.ts'
import { makePki } from '../integration/certificates.ts'
import { eventually, within } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { closeRequest, dialRequest, joinFrontend, openCall } from '../integration/wire-call.ts'
import { freePort } from '../programs/free-port.ts'
import { documentedAnswers, unmet } from './answers-table.ts'
import { RELEASES } from './pairing.ts'
import { agentOf, type RunningServer, serverOf } from './programs-of.ts'

type Asked = { readonly path?: string; readonly headers?: OutgoingHttpHeaders; readonly packets?: readonly Packet[] }

const PINGS = 10

const pki = await makePki(t)
const { address } = await listenTarget(t, echo)
const nobody = `127.0.0.1:${await freePort()}`
const dial = (to: string, protocol?: string): Asked => ({ packets: [dialRequest(to, 7, protocol)] })

/** Rows are known by the first cell, without code marks. */
const CALLS: Readonly<Record<string, Asked>> = {
  'a target that is there': dial(address),
  'a target that refuses': dial(nobody),
  'a target that refuses, tcp4': dial(nobody, 'tcp4'),
  'a target of the other family': dial(nobody, 'tcp6'),
  'no port': dial('127.0.0.1'),
  'a dial of udp': dial(nobody, 'udp'),
  'a dial of unix': dial('/run/nobody.sock', 'unix'),
  'a dial of no protocol': dial(nobody, ''),
  'data before a dial': { packets: [{ type: 'DATA', connectId: 3, error: '', data: Buffer.from('x') }] },
  'an end before a dial': { packets: [closeRequest(3)] },
  'grpc-encoding: gzip': { headers: { 'grpc-encoding': 'gzip' } },
  'grpc-encoding: identity': { headers: { 'grpc-encoding': 'identity' }, ...dial(address) },
  'another method': { path: '/ProxyService/Other' },
  'another service': { path: '/AgentService/Other' },
  'content-type: text/plain': { headers: { 'content-type': 'text/plain' } },
  'content-type: application/grpc+proto': { headers: { 'content-type': 'application/grpc+proto' }, ...dial(address) },
  'content-type: Application/gRPC': { headers: { 'content-type': 'Application/gRPC' }, ...dial(address) },
  'content-type: application/grpcx': { headers: { 'content-type': 'application/grpcx' } },
  'no content-type': { headers: { 'content-type': undefined } },
  'the method GET': { headers: { ':method': 'GET' } },
  'a header list of 20 KB': { headers: { padding: 'x'.repeat(20_000) }, ...dial(address) },
}

/** Asked before there is an agent. */
const ALONE: Readonly<Record<string, Asked>> = { 'no agent': dial(address) }

/** The first packet that answers, or how the call ended. */
async function answerTo(t: Test, server: RunningServer, { packets = [], ...options }: Asked): Promise<string> {
  const call = openCall(await joinFrontend(t, server), options)
  let httpStatus: unknown
  call.stream.once('response', (headers) => {
    httpStatus = headers[':status']
  })
  call.send(...packets)
  const ended = call
    .ended()
    .then(({ code, message }) =>
      call.received[0] ? say(call.received[0]) : `${httpStatus} grpc-status ${code} ${message}`,
    )
  const answered = eventually('a packet', async () => call.received[0], Boolean).then((packet) => say(packet!))
  answered.catch(() => undefined) // a call that ends says nothing
  const first = await Promise.race([ended, answered])
  call.http.destroy()
  return first
}

function say(packet: Packet): string {
  const error = 'error' in packet ? packet.error : ''
  return `${packet.type} ${error}`.trim()
}

/** The last words to a client that pings and pings, if there are any. */
async function answerToPings(t: Test, server: RunningServer): Promise<string> {
  const http = await joinFrontend(t, server)
  const call = openCall(http)
  call.send(dialRequest(address))
  await call.next('DIAL_RSP')
  const goAway = new Promise<string>((resolve) => {
    http.once('goaway', (_code, _last, why: Buffer) => resolve(`GOAWAY ${why}`))
  })
  for (let sent = 0; sent < PINGS && !http.destroyed; sent++) {
    const pong = new Promise<void>((resolve) => http.ping(() => resolve()))
    const words = await Promise.race([goAway, within(pong, 'a pong').then(() => '')])
    if (words !== '') return words
  }
  http.destroy()
  return `${PINGS} answered`
}

void t.test('answers in gRPC mode are konnectivity’s, or as docs/compatibility.md says', async (t) => {
  const flags = ['--mode=grpc']
  const servers = { stock: await serverOf(t, RELEASES[0], pki, flags), ours: await serverOf(t, 'ours', pki, flags) }
  const answers = { stock: new Map<string, string>(), ours: new Map<string, string>() }
  const ask = async (calls: typeof CALLS): Promise<void> => {
    for (const maker of ['stock', 'ours'] as const) {
      for (const [name, asked] of Object.entries(calls)) {
        answers[maker].set(name, await answerTo(t, servers[maker], asked))
      }
    }
  }
  await ask(ALONE)
  for (const maker of ['stock', 'ours'] as const) {
    const server = servers[maker]
    await agentOf(t, RELEASES[0], server, ['--sync-interval=100ms'])
    await server.answersOk(server.healthPort, '/readyz')
    answers[maker].set('ten pings at once', await answerToPings(t, server))
  }
  await ask(CALLS)

  const rows = documentedAnswers('## Answers in gRPC mode')
  for (const { request, stock, ours } of rows) {
    t.strictSame(unmet(stock, answers.stock.get(request) ?? 'nothing: it is not asked'), [], `${request}: konnectivity`)
    t.strictSame(unmet(ours, answers.ours.get(request) ?? 'nothing: it is not asked'), [], `${request}: Culvert`)
  }
  for (const [request, answer] of answers.ours) {
    const expected = answers.stock.get(request)
    if (rows.some((row) => row.request === request)) t.not(answer, expected, `${request} is not in the table in vain`)
    else t.equal(answer, expected, request)
  }
})
