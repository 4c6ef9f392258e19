/** gRPC mode: a client that makes one HTTP/2 connection for everything may have as many calls on it as it likes. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { AGENT, figureBecomes, SERVER } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnels } from './tunnel.ts'
import { closeRequest, echoOver, joinFrontend, openCall } from './wire-call.ts'

const AT_ONCE = 2_000
const quiet = { flags: ['--log-level=info'] }
const pki = await makePki(t)
const target = await listenTarget(t, echo)

for (const { server, agent } of await startTunnels(t, { pki, flags: ['--mode=grpc', ...quiet.flags] }, quiet)) {
  t.test(`${server.transport}: ${AT_ONCE} calls at once on one HTTP/2 connection`, async (t) => {
    const http = await joinFrontend(t, server)
    const calls = Array.from({ length: AT_ONCE }, () => openCall(http))
    const ids = await Promise.all(calls.map((call, index) => call.dial(target.address, index)))
    await figureBecomes(server, `${SERVER}established_connections`, AT_ONCE)
    for (const round of [1, 2]) {
      await Promise.all(calls.map((call, index) => echoOver(call, ids[index]!, `round ${round} of ${index}`)))
    }
    for (const [index, call] of calls.entries()) {
      if (index % 2 === 0) call.send(closeRequest(ids[index]!))
      call.stream.end()
    }
    const statuses = await Promise.all(calls.map((call) => call.ended()))
    t.notOk(statuses.some(({ code }) => code !== 0))
    await figureBecomes(server, `${SERVER}established_connections`, 0)
    await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
    t.notOk(http.closed)
  })
}
