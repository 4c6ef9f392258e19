/** What both programs write to their audit logs: each decision, each end, with an id by which the two belong together. */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { auditHas, auditLines, chainProblems } from './audit-log.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { ask, askFor, connectHead, echoOver, endOf, openTunnel } from './client.ts'
import { figure, figureBecomes } from './figures.ts'
import { closeRequest, dataOf, dialRequest, grpcClient } from './grpc-client.ts'
import { closedPort, echo, listenTarget } from './target.ts'
import { type Agent, launchAgent, type Server, startAgent, startServer } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'
import { startTeam } from './workers.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)

type Audited = { readonly server: Server; readonly agent: Agent; readonly hub: string; readonly cell: string }

async function auditedTunnel(
  t: Test,
  flags: readonly string[] = [],
  transport: 'tls' | 'uds' = 'tls',
): Promise<Audited> {
  const folder = temporaryFolder(t)
  const [hub, cell] = [join(folder, 'hub.log'), join(folder, 'cell.log')]
  const server = await startServer(t, {
    pki,
    transport,
    flags: [`--audit-log-file=${hub}`, '--server-id=hub-0', '--shutdown-quiet-time=100ms', ...flags],
  })
  const agent = await startAgent(t, server, {
    flags: [`--audit-log-file=${cell}`, '--agent-id=a-1', '--drain-quiet-time=100ms'],
  })
  return { server, agent, hub, cell }
}

async function stop({ server, agent, hub, cell }: Audited): Promise<void> {
  for (const program of [agent, server]) program.signal('SIGTERM')
  await Promise.all([agent.ended, server.ended])
  for (const path of [hub, cell]) {
    const lines = auditLines(path)
    t.match(lines[0], { seq: 1, event: 'started', version: String })
    t.match(lines.at(-1), { event: 'stopped' })
    t.strictSame(chainProblems(path), [])
    t.equal(statSync(path).mode & 0o777, 0o600)
  }
}

t.test('a connection from its start to its end, on both ends with one id', async (t) => {
  const tunnel = await auditedTunnel(t)
  const { server, hub, cell } = tunnel
  const socket = await openTunnel(server, target.address)
  const source = `127.0.0.1:${socket.localPort}`
  await echoOver(socket, 'twelve bytes')
  const ended = endOf(socket)
  socket.end()
  await ended
  const principal = 'cluster/eu-1/apiserver'
  const [opened] = await auditHas(hub, { event: 'dial' })
  t.match(opened, {
    id: /^hub-0\/\d+$/,
    cluster: 'default',
    principal,
    source,
    agent: 'a-1',
    destination: target.address,
    verdict: 'allowed',
    outcome: 'connected',
    durationMs: Number,
  })
  const id = opened?.id
  const bytes = { bytesToTarget: 12, bytesFromTarget: 12 }
  t.match(await auditHas(hub, { event: 'end' }), [
    {
      id,
      cluster: 'default',
      principal,
      source,
      agent: 'a-1',
      destination: target.address,
      outcome: 'finished',
      ...bytes,
    },
  ])
  const address = target.address
  const who = { cluster: 'eu-1', principal: 'server/hub-0', agent: 'a-1' }
  t.match(await auditHas(cell, { event: 'dial' }), [
    { id, server: 'hub-0', ...who, destination: address, address, verdict: 'allowed', outcome: 'connected' },
  ])
  t.match(await auditHas(cell, { event: 'end' }), [
    { id, server: 'hub-0', agent: 'a-1', destination: address, address, outcome: 'finished', ...bytes },
  ])
  t.match(await auditHas(hub, { event: 'frontend' }), [{ cluster: 'default', principal, source, verdict: 'allowed' }])
  t.match(await auditHas(hub, { event: 'agent' }), [
    { cluster: 'default', principal: 'cluster/eu-1/agent/a1', agent: 'a-1', source: '127.0.0.1', verdict: 'allowed' },
  ])
  t.match(await auditHas(cell, { event: 'server' }), [{ server: 'hub-0', ...who, verdict: 'allowed' }])
  await stop(tunnel)
  t.match(
    auditLines(hub).filter(({ event }) => event === 'agent-end'),
    [{ agent: 'a-1', reason: /closed|shutdown/ }],
  )
  t.match(
    auditLines(cell).filter(({ event }) => event === 'server-end'),
    [{ server: 'hub-0', reason: String }],
  )
})

t.test('a connection that breaks, with who broke it', async (t) => {
  const tunnel = await auditedTunnel(t, [], 'uds')
  const { server, hub, cell } = tunnel
  const accepted = target.next()
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'hello')
  const ended = endOf(socket)
  ;(await accepted).resetAndDestroy()
  await ended
  const [broken] = await auditHas(cell, { event: 'end', outcome: 'reset', by: 'self', reason: 'ECONNRESET' })
  t.match(await auditHas(hub, { event: 'end', outcome: 'reset', by: 'peer', reason: 'ECONNRESET' }), [
    { id: broken?.id, principal: 'unix-socket', source: undefined, bytesToTarget: 5, bytesFromTarget: 5 },
  ])
  await stop(tunnel)
})

t.test('whatever is refused, and dials that come to nothing, with the reason', async (t) => {
  const tunnel = await auditedTunnel(t)
  const { server, agent, hub, cell } = tunnel
  const refusing = await closedPort()
  await askFor(server, refusing)
  const [failed] = await auditHas(hub, { event: 'dial', destination: refusing, verdict: 'allowed', outcome: 'failed' })
  t.match(failed, { reason: /connection refused$/, agent: 'a-1' })
  t.match(await auditHas(cell, { event: 'dial', destination: refusing, verdict: 'allowed', outcome: 'failed' }), [
    { id: failed?.id, reason: /connection refused$/ },
  ])
  for (const destination of ['169.254.169.254:80', '[fe80::1]:80']) {
    await askFor(server, destination)
    const [refused] = await auditHas(cell, { event: 'dial', destination, verdict: 'refused' })
    t.match(refused, { rule: 'link_local', reason: /link-local addresses are not allowed/, outcome: undefined })
    t.match(await auditHas(hub, { event: 'dial', destination, outcome: 'failed' }), [{ id: refused?.id }])
  }
  t.equal((await ask(server, connectHead(target.address), pki.agent)).status, 403)
  await auditHas(hub, { event: 'frontend', verdict: 'refused', reason: /it is an agent certificate/ })
  t.equal((await ask(server, 'GET / HTTP/1.1\r\n\r\n')).status, 405)
  await auditHas(hub, { event: 'frontend', verdict: 'refused', reason: 'method', principal: 'cluster/eu-1/apiserver' })
  await openWireAgent(t, server, { leaf: pki.apiserver }).then(({ ended }) => ended())
  await auditHas(hub, {
    event: 'agent',
    verdict: 'refused',
    source: '127.0.0.1',
    reason: /it is an apiserver certificate/,
  })
  agent.signal('SIGTERM')
  await agent.ended
  await askFor(server, target.address)
  const [nobody] = await auditHas(hub, { event: 'dial', outcome: 'failed', reason: 'no-agent' })
  t.equal(nobody?.id, undefined, 'it was never given one')
  await stop(tunnel)
})

t.test('what a policy of either end denies, with the rule', async (t) => {
  const folder = temporaryFolder(t)
  const [ofHub, ofAgent, hub, cell] = ['hub.yaml', 'agent.yaml', 'hub.log', 'cell.log'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string]
  writeFileSync(ofHub, 'rules:\n  - deny: { cidr: 10.0.0.1 }\n  - allow: { cidr: 0.0.0.0/0 }\n')
  writeFileSync(ofAgent, 'rules:\n  - deny: { cidr: 10.0.0.2 }\n  - allow: { cidr: 0.0.0.0/0 }\n')
  const server = await startServer(t, { pki, flags: [`--audit-log-file=${hub}`, `--agent-policy-file=${ofHub}`] })
  await startAgent(t, server, { flags: [`--audit-log-file=${cell}`, `--policy-file=${ofAgent}`] })
  for (const address of ['10.0.0.1:443', '10.0.0.2:443']) await askFor(server, address)
  t.match(await auditHas(hub, { event: 'dial', destination: '10.0.0.1:443' }), [
    { verdict: 'refused', rule: 'policy', reason: /policy of the cluster: rule 1/, id: undefined },
  ])
  const [denied] = await auditHas(cell, { event: 'dial', destination: '10.0.0.2:443' })
  t.match(denied, { verdict: 'refused', rule: 'policy', reason: /policy of this agent: rule 1/ })
  t.match(await auditHas(hub, { event: 'dial', destination: '10.0.0.2:443' }), [
    { id: denied?.id, verdict: 'allowed', outcome: 'failed', reason: /policy of this agent/ },
  ])
})

t.test('calls of gRPC mode, by the number that their client gave them', async (t) => {
  const tunnel = await auditedTunnel(t, ['--mode=grpc'])
  const { server, hub, cell } = tunnel
  const call = grpcClient(t, server).call()
  call.send(dialRequest(target.address, '9223372036854775807'))
  const { connectID } = await call.next('dialResponse')
  call.send(dataOf(connectID, 'hello'))
  await call.next('data')
  call.send(closeRequest(connectID))
  await call.next('closeResponse')
  call.finish()
  await call.status
  const other = grpcClient(t, server).call()
  other.send(dialRequest('/run/x.sock', '8', 'unix'))
  await other.next('dialResponse')
  other.finish()
  await auditHas(hub, {
    event: 'dial',
    destination: '/run/x.sock',
    verdict: 'refused',
    reason: /protocol not supported/,
  })
  const id = 'hub-0/9223372036854775807'
  for (const path of [hub, cell]) {
    await auditHas(path, { event: 'dial', id, destination: target.address, outcome: 'connected' })
    await auditHas(path, { event: 'end', id, bytesToTarget: 5, bytesFromTarget: 5 })
  }
  for (const { source } of await auditHas(hub, { event: 'dial' })) t.match(source, /^127\.0\.0\.1:\d+$/)
  await stop(tunnel)
})

t.test('the chain goes on in a new file at SIGHUP, and nobody notices', async (t) => {
  const tunnel = await auditedTunnel(t)
  const { server, agent, hub, cell } = tunnel
  const socket = await openTunnel(server, target.address)
  await auditHas(hub, { event: 'dial' })
  await auditHas(cell, { event: 'dial' })
  for (const path of [hub, cell]) renameSync(path, `${path}.1`)
  for (const program of [server, agent]) program.signal('SIGHUP')
  await Promise.all([server.logged('audit log opened anew'), agent.logged('audit log opened anew')])
  await echoOver(socket, 'still there')
  const ended = endOf(socket)
  socket.end()
  await ended
  for (const path of [hub, cell]) {
    await auditHas(path, { event: 'end', bytesToTarget: 11 })
    t.match(auditLines(`${path}.1`).at(-1)?.event, /dial/)
    t.strictSame(chainProblems(`${path}.1`, path), [])
  }
  t.equal(await figure(server, 'culvert_server_audit_alarm'), 0)
  // A line is in the file before it is counted.
  await figureBecomes(server, 'culvert_server_audit_lines_total', auditLines(`${hub}.1`, hub).length)
  t.equal(await figure(agent, 'culvert_agent_audit_lost_lines_total'), 0)
  for (const program of [server, agent]) program.signal('SIGTERM')
  await Promise.all([server.ended, agent.ended])
  for (const path of [hub, cell]) t.strictSame(chainProblems(`${path}.1`, path), [])
})

t.test('several workers write one chain', async (t) => {
  const hub = join(temporaryFolder(t), 'hub.log')
  const { server, agent } = await startTeam(t, { pki, flags: [`--audit-log-file=${hub}`, '--server-id=hub-0'] })
  for (let count = 0; count < 4; count++) {
    const socket = await openTunnel(server, target.address)
    await echoOver(socket, 'hello')
    const ended = endOf(socket)
    socket.end()
    await ended
  }
  const ends = await auditHas(hub, { event: 'end', outcome: 'finished', bytesToTarget: 5 }, 4)
  t.strictSame(new Set(ends.map(({ id }) => /^hub-0-w\d/.exec(String(id))?.[0])), new Set(['hub-0-w1', 'hub-0-w2']))
  agent.signal('SIGTERM')
  await agent.ended
  server.signal('SIGTERM')
  await server.ended
  t.equal(auditLines(hub).filter(({ event }) => event === 'started').length, 1)
  t.match(auditLines(hub).at(-1), { event: 'stopped' })
  t.strictSame(chainProblems(hub), [])
})

t.test('a file that is no audit log keeps a program from starting, untouched', async (t) => {
  const path = join(temporaryFolder(t), 'precious')
  for (const start of [
    () => startServer(t, { pki, flags: [`--audit-log-file=${pki.caFile}`] }),
    () => launchAgent(t, { pki, agentPort: 1 }, { flags: [`--audit-log-file=${pki.caFile}`] }),
    () => launchAgent(t, { pki, agentPort: 1 }, { flags: [`--audit-log-file=${path}/x/y`] }),
  ]) {
    await t.rejects(start(), { message: /does not end with a line of an audit log|could not use the audit log/ })
  }
  t.match(readFileSync(pki.caFile, 'utf8'), /^-----BEGIN/)
})

t.test('a start that fails leaves the log of whoever serves alone', async (t) => {
  for (const flags of [[], ['--workers=2']]) {
    const hub = join(temporaryFolder(t), 'hub.log')
    const serving = await startServer(t, { pki, flags: [...flags, `--audit-log-file=${hub}`] })
    await auditHas(hub, { event: 'started' })
    const second = startServer(t, {
      pki,
      flags: [...flags, `--audit-log-file=${hub}`, `--admin-port=${serving.adminPort}`],
    })
    const said = await second.then(
      () => 'it started',
      (error: Error) => error.message,
    )
    t.match(said, /--admin-port: .*something else listens/)
    t.notMatch(said, /crashed/)
    serving.signal('SIGTERM')
    await serving.ended
    t.strictSame(
      auditLines(hub).map(({ event }) => event),
      ['started', 'stopped'],
    )
    t.strictSame(chainProblems(hub), [])
  }
})

t.test('without the flag SIGHUP ends a program, as it always has', async (t) => {
  const server = await startServer(t, { pki })
  server.signal('SIGHUP')
  t.strictSame(await server.ended, { code: null, signal: 'SIGHUP' })
})

t.test('who has no credential costs a line the first time, and no more of them as often as it comes', async (t) => {
  const hub = join(temporaryFolder(t), 'hub.log')
  const server = await startServer(t, { pki, flags: [`--audit-log-file=${hub}`] })
  for (let count = 0; count < 5; count++) {
    t.equal((await ask(server, connectHead(target.address), pki.agent)).status, 403)
    await openWireAgent(t, server, { leaf: pki.apiserver }).then(({ ended }) => ended())
  }
  server.signal('SIGTERM')
  await server.ended
  const refused = auditLines(hub).filter(({ verdict }) => verdict === 'refused')
  t.match(
    refused.map(({ event, source }) => [event, source]).toSorted(),
    [
      ['agent', '127.0.0.1'],
      ['frontend', '127.0.0.1'],
    ],
    JSON.stringify(refused),
  )
  t.equal(refused.length, 2)
})
