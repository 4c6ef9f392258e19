/**
 * Strangers who begin a word and never end it, at the ports of the hub where others ask nobody who they are: before the TLS of those that
 * front doors lead to, and where operators and probes ask. Each is hung up on, the metrics and, of the former, the audit log say so, and
 * the cluster `calm` notices nothing. The cases of docs/threat-model.md.
 */
import t from 'tap'
import { readAll } from '../integration/client.ts'
import { figure } from '../integration/figures.ts'
import { failedHandshake } from '../integration/series.ts'
import { type Attack, withstand } from './attack.ts'
import { startArena } from './hub.ts'
import { hungUp, stranger } from './stranger.ts'

/** Of the addresses of front doors. */
const NET = 9

const hub = await startArena(t, { flags: [`--proxy-protocol-from=127.0.${NET}.0/24`] })

const half = {
  'no PROXY header': '',
  'half of a PROXY header': 'PROXY TCP4 192.0.2.1 192.0',
  'half of a PROXY header of version 2': '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0',
}
const headers = (['agent', 'frontend'] as const).flatMap((port, at) =>
  Object.entries(half).map(
    ([what, bytes], index): Attack => ({
      what: `${what} at the port of the ${port}s`,
      async act(t) {
        const socket = await stranger(t, port === 'agent' ? hub.agentPort : hub.frontendPort, NET, at * 10 + index)
        socket.write(Buffer.from(bytes, 'latin1'))
        return hungUp(socket)
      },
      saw: 'hung up on',
      metric: failedHandshake(port, 'proxy_header'),
      audit: { event: port, verdict: 'refused', reason: 'PROXY header: slow' },
    }),
  ),
)

const SLOW_REQUEST = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n'
const slowProbes = 'culvert_server_bad_probes_total{why="slow"}'
const requests: Attack = {
  what: 'half a request at the admin port, and at the health port',
  async act(t) {
    const before = await figure(hub, slowProbes)
    const sockets = await Promise.all([stranger(t, hub.adminPort, NET, 20), stranger(t, hub.healthPort, NET, 21)])
    for (const socket of sockets) socket.write('GET /readyz HTTP/1.1\r\nHost: 127.0')
    const answers = await Promise.all(sockets.map((socket) => readAll(socket)))
    return [answers.map(String), (await figure(hub, slowProbes)) - before]
  },
  saw: [[SLOW_REQUEST, SLOW_REQUEST], 2],
  metric: slowProbes,
  audit: 'none',
}

withstand(hub, [...headers, requests])
