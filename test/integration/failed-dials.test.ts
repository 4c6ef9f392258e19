/** Targets that cannot be reached: what the client is told, what is counted, and that nobody goes on dialling for nobody. */
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { askFor, connectFrontend, connectHead, echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { AGENT, counts, figure, figureBecomes, SERVER } from './figures.ts'
import { closedPort, dialsUnderWay, echo, listenTarget, stuckTarget } from './target.ts'
import { startServer, startTunnel, startTunnels, TRANSPORTS, type Tunnel } from './tunnel.ts'

const CANCELLED = '{segment="to_agent",packet_type="DIAL_CLS"}'
const none = (found: readonly string[]): boolean => found.length === 0

/** An agent that gives up, but after longer than a busy machine keeps it from a target that answers. */
const impatient = { flags: ['--endpoint-dial-timeout=2s'] }

const pki = await makePki(t)
const target = await listenTarget(t, echo)

for (const { server, agent } of await startTunnels(t, { pki }, impatient)) {
  const { transport } = server
  const failures = `${SERVER}dial_failure_count{reason="error_response"}`
  const stillEchoes = async (t: Test): Promise<void> => {
    const socket = await openTunnel(server, target.address)
    t.teardown(() => socket.destroy())
    await echoOver(socket, 'still here')
  }

  t.test(`${transport}: a target that refuses gives 502 in Go's words`, async (t) => {
    const address = await closedPort()
    const before = await figure(server, failures)
    const agentBefore = await figure(agent, `${AGENT}endpoint_dial_failure_total{reason="unknown"}`)
    const text = `dial tcp ${address}: connect: connection refused`
    t.strictSame(await askFor(server, address), {
      status: 502,
      reason: text,
      headers: {
        connection: 'close',
        'content-type': 'text/plain; charset=utf-8',
        'proxy-status': `culvert; error=connection_refused; details="${text}"`,
      },
      body: text,
    })
    t.equal(await figure(server, failures), before + 1)
    t.equal(await figure(agent, `${AGENT}endpoint_dial_failure_total{reason="unknown"}`), agentBefore + 1)
    await stillEchoes(t)
  })

  t.test(`${transport}: a target that is silent gives 504 when the agent's patience is over`, async (t) => {
    const stuck = await stuckTarget(t)
    t.match(await askFor(server, stuck.address), {
      status: 504,
      headers: { 'proxy-status': /^culvert; error=connection_timeout;/ },
      body: `dial tcp ${stuck.address}: i/o timeout`,
    })
    t.ok((await figure(agent, `${AGENT}endpoint_dial_failure_total{reason="timeout"}`)) > 0)
    await eventually('the agent gives up', () => dialsUnderWay(stuck.port), none)
    await stillEchoes(t)
  })

  t.test(`${transport}: a name that nobody has gives 502 and is told from a refusal`, async (t) => {
    const name = `${'a'.repeat(64)}.invalid` // a label too long for any resolver to ask about
    const body = `dial tcp: lookup ${name}: no such host`
    t.match(await askFor(server, `${name}:443`), {
      status: 502,
      headers: { 'proxy-status': /^culvert; error=dns_error;/ },
      body,
    })
    await stillEchoes(t)
  })

  t.test(`${transport}: a link-local target is not dialled`, async (t) => {
    t.match(await askFor(server, '169.254.169.254:80'), {
      status: 502,
      headers: { 'proxy-status': /error=destination_ip_prohibited/ },
      body: 'dial tcp 169.254.169.254:80: link-local addresses are not allowed by this agent',
    })
  })

  for (const how of ['ends', 'breaks'] as const) {
    t.test(`${transport}: when the client ${how} during the dial, the agent's dial is cancelled`, async (t) => {
      const patient = await startTunnelOnce()
      const stuck = await stuckTarget(t)
      const cancelled = await figure(patient.agent, `${AGENT}stream_packets_total${CANCELLED}`)
      const socket = await connectFrontend(patient.server)
      socket.on('error', () => undefined)
      socket.write(connectHead(stuck.address))
      await eventually(
        'the agent dials',
        () => dialsUnderWay(stuck.port),
        (found) => found.length === 1,
      )
      t.equal(await figure(patient.server, `${SERVER}pending_backend_dials`), 1)
      await counts(patient.server, `${SERVER}dial_failure_count{reason="frontend_close"}`, 1, async () => {
        if (how === 'ends') socket.end()
        else socket.destroy()
      })
      await eventually('the agent stops dialling', () => dialsUnderWay(stuck.port), none)
      await figureBecomes(patient.agent, `${AGENT}stream_packets_total${CANCELLED}`, cancelled + 1)
      t.equal(await figure(patient.server, `${SERVER}pending_backend_dials`), 0)
      t.equal(await figure(patient.agent, `${AGENT}open_endpoint_connections`), 0)
    })
  }

  let patient: Promise<Tunnel> | undefined
  /** With the agent's dials as patient as by default. */
  const startTunnelOnce = (): Promise<Tunnel> => (patient ??= startTunnel(t, { transport, pki }))
}

t.test(
  'an agent that does not answer gives 504 at the deadline of the server, and its dial is cancelled',
  async (t) => {
    const { server } = await startTunnel(t, { pki, flags: ['--backend-dial-timeout=200ms'] })
    const stuck = await stuckTarget(t)
    t.match(await askFor(server, stuck.address), {
      status: 504,
      reason: 'Backend dial timeout: timed out waiting for backend dial',
      headers: { 'proxy-status': /^culvert; error=connection_timeout;/ },
      body: 'Backend dial timeout: timed out waiting for backend dial\r\n',
    })
    t.equal(await figure(server, `${SERVER}dial_failure_count{reason="backend_dial_timeout"}`), 1)
    await eventually('the agent stops dialling', () => dialsUnderWay(stuck.port), none)
  },
)

for (const transport of TRANSPORTS) {
  t.test(`${transport}: a server without an agent gives 500 and is not ready`, async (t) => {
    const server = await startServer(t, { transport, pki })
    t.strictSame(await askFor(server, target.address), {
      status: 500,
      reason: 'currently no tunnels available: No agent available',
      headers: {
        'content-type': 'text/plain',
        'proxy-status':
          'culvert; error=destination_unavailable; details="currently no tunnels available: No agent available"',
      },
      body: 'currently no tunnels available: No agent available',
    })
    t.equal(await figure(server, `${SERVER}dial_failure_count{reason="no_agent"}`), 1)
  })
}
