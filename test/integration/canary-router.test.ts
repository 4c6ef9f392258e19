/**
 * Secrets in all that clients and balancers may send to the front door: requests in clear, what is behind a ClientHello and in it, PROXY
 * headers. None of them may be in anything that it says: its log at the finest level, metrics, audit log, answers, arguments.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { V2_SIGNATURE } from '../../src/platform/proxy-header.ts'
import { culvert } from '../cli/run-culvert.ts'
import { handshake, helloRecords, nodeHello, records, serverName, vector } from '../sni-router/hellos.ts'
import { auditHas } from './audit-log.ts'
import { argumentsOf, canary, endpointsOf, holdsNoSecret, piecesOf, withSecrets } from './canaries.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { readBytes } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { connectRaw, startFrontDoor } from './front-door.ts'
import { spoken } from './joining.ts'
import type { Logged } from './program.ts'
import { closedPort, echo, listenTarget } from './target.ts'

/** Each has an address of its own: of one that comes again the audit log has a number, and no line. */
const addresses = (prefix: string): (() => string) => {
  let last = 0
  return () => `${prefix}${++last}`
}
const [newClient, newBalancer] = [addresses('127.0.1.'), addresses('127.0.2.')]
/** Connections from there begin with a PROXY header. */
const BALANCERS = '127.0.2.0/24'

const hello = await nodeHello({ servername: 'a.example' })
const helloTo = async (servername: string): Promise<Buffer> => Buffer.concat([await nodeHello({ servername }), behind])
const text = (...lines: readonly string[]): Buffer => Buffer.from(lines.join('\r\n'), 'latin1')
const behind = text(canary('behind'))

/** 192.0.2.7:4711 to 192.0.2.1:443, and a value of a type that is free for own use. */
function proxyV2(command: number, value: string): Buffer {
  const addresses = Buffer.from([192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb])
  const own = Buffer.concat([Buffer.from([0xe0]), vector(2, Buffer.from(value))])
  return Buffer.concat([V2_SIGNATURE, Buffer.from([command, 0x11]), vector(2, addresses, own)])
}

t.test('no secret that comes to the front door is in anything that it says', async (t) => {
  const folder = temporaryFolder(t)
  const log = join(folder, 'audit.log')
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(
    t,
    {
      routes: [
        { name: 'a', hosts: ['a.example'], backends: [target.address] },
        { name: 'gone', hosts: ['gone.example'], backends: [await closedPort()] },
      ],
    },
    { flags: [`--audit-log-file=${log}`, '-v=9'], proxyProtocolFrom: [BALANCERS] },
  )
  const answers: Record<string, string> = {}

  /** Sends it in one piece, so that it is read whole, and waits until it is told and hung up on. */
  async function turnedAway(what: string, bytes: Buffer, source: string, reason: string): Promise<void> {
    const socket = await connectRaw(t, router.port, { localAddress: source })
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).once('end', () => socket.end())
    const closed = within(new Promise((resolve) => socket.once('close', resolve)), `the end of ${what}`)
    socket.write(bytes)
    await closed
    answers[what] = Buffer.concat(chunks).toString('latin1')
    await auditHas(log, { event: 'client', source, verdict: 'refused', reason })
    const told = ({ msg, ip, why }: Logged): boolean => msg === 'refused a client' && ip === source && why === reason
    await eventually(`${what} is told`, () => router.log.some(told), Boolean)
  }

  for (const [what, reason, bytes] of [
    ['a request', 'http', text(withSecrets(`GET /?token=${canary('url')} HTTP/1.1\r\nHost: a\r\n\r\n`))],
    ['a CONNECT', 'http', text(withSecrets(`CONNECT alice:${canary('password')}@a:443 HTTP/1.1\r\n\r\n`))],
    ['a body', 'http', text('POST / HTTP/1.1', 'Content-Length: 40', '', canary('body'))],
    ['another protocol', 'not-tls', text(`\0${canary('garbage')}`)],
    ['no ClientHello', 'malformed', records(handshake(text(canary('handshake')), 2))],
    ['a broken ClientHello', 'malformed', records(handshake(text(canary('hello'))))],
    ['a hello behind its end', 'malformed', helloRecords({ extensions: [], behind: text(canary('rest')) })],
    ['a name that is none', 'malformed', helloRecords({ extensions: [serverName(`alice:${canary('name')}@a`)] })],
    ['a session', 'no-name', helloRecords({ session: text(canary('session')), extensions: [] })],
    ['a name without a route', 'no-route', await helloTo('b.example')],
    ['a route without a backend', 'no-backend', await helloTo('gone.example')],
  ] as const) {
    await turnedAway(what, bytes, newClient(), reason)
  }
  t.match(answers['a request'], /^HTTP\/1\.1 400 /)

  for (const [what, header] of [
    ['no header', text(canary('header'))],
    ['addresses that are none', text(`PROXY TCP4 ${canary('address')} 192.0.2.1 1 443\r\n`)],
    ['ports that are none', text(`PROXY TCP4 192.0.2.7 192.0.2.1 ${canary('port')} 443\r\n`)],
    ['another family', text(`PROXY ${canary('family')} 192.0.2.7 192.0.2.1 1 443\r\n`)],
    ['a line that does not end', text(`PROXY ${canary('line').repeat(10)}`)],
    ['an unknown command', proxyV2(0x2f, canary('command'))],
    ['an unknown version', proxyV2(0x31, canary('version'))],
    ['a header that is too long', proxyV2(0x21, canary('long').repeat(400))],
  ] as const) {
    await turnedAway(what, Buffer.concat([header, hello, behind]), newBalancer(), 'no-proxy-header')
  }

  for (const [what, header, localAddress, named] of [
    ['no header', text(''), newClient(), undefined],
    ['a value in the header', proxyV2(0x21, canary('value')), newBalancer(), '192.0.2.7'],
    ['a check of the balancer', proxyV2(0x20, canary('local')), newBalancer(), undefined],
    ['a line of what is unknown', text(`PROXY UNKNOWN ${canary('unknown')}\r\n`), newBalancer(), undefined],
  ] as const) {
    const socket = await connectRaw(t, router.port, { localAddress })
    const sent = Buffer.concat([hello, behind])
    const echoed = readBytes(socket, sent.length)
    socket.write(Buffer.concat([header, sent]))
    t.ok((await echoed).equals(sent), `the backend of who comes with ${what} has what is behind the header`)
    socket.resume().end()
    await auditHas(log, {
      event: 'end',
      source: new RegExp(`^${named ?? localAddress}:`),
      destination: 'a.example',
      rule: 'a',
    })
  }

  const source = newClient()
  const early = await connectRaw(t, router.port, { localAddress: source })
  early.end(helloRecords({ behind: Buffer.alloc(9_000, canary('early')) }).subarray(0, 8_000))
  await auditHas(log, { event: 'client', source, reason: 'left', outcome: 'failed' })

  const probe = await connectRaw(t, router.healthPort)
  probe.write(text(withSecrets(`GET /${canary('path')}\x01 HTTP/9.9\r\n\r\n`)))
  answers['a probe that is none'] = (await event<Buffer>(probe, 'data')).toString()
  t.match(answers['a probe that is none'], /^HTTP\/1\.1 400 /)

  const endpoints = await endpointsOf('router', [router.healthPort])
  const given = argumentsOf(router)
  router.signal('SIGTERM')
  await router.ended
  holdsNoSecret(
    t,
    { ...endpoints, ...answers, log: spoken(router), 'audit log': readFileSync(log, 'utf8'), arguments: given },
    [],
  )
})

t.test('a key or a token in the place of the configuration is not shown', async (t) => {
  const { server, folder } = await makePki(t)
  const ended = await culvert('sni-router', `--config=${server.keyFile}`)
  t.match(ended, { code: 1, stderr: /server\.key:1: / })
  holdsNoSecret(t, { [`refusal in ${folder}`]: JSON.stringify(ended) }, piecesOf(server.key))
})
