/**
 * Secrets are planted wherever one can be: tokens, keys, header fields, payload, targets, queries. None of them may be in anything
 * that a program says: logs at the finest level, metrics, endpoints, audit logs, answers to others.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { readJoinToken } from '../../src/pki/join-token.ts'
import { writePair } from '../../src/pki/store.ts'
import { create } from '../../src/pki/token-commands/create.ts'
import { list } from '../../src/pki/token-commands/list.ts'
import { run } from '../platform/run-command.ts'
import { auditHas } from './audit-log.ts'
import {
  argumentsOf,
  canariesIn,
  canary,
  endpointsOf,
  holdsNoSecret,
  piecesOf,
  type Said,
  withSecrets,
} from './canaries.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { ask, askFor, connectFrontend, connectHead, echoOver, endOf, openTunnel } from './client.ts'
import { fetchFrom } from './figures.ts'
import { dataOf, dialRequest, grpcClient } from './grpc-client.ts'
import { spoken } from './joining.ts'
import { closedPort, echo, listenTarget } from './target.ts'
import { type Agent, launchAgent, type Server, startAgent, startServer } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)

const keys = [pki.server, pki.agent, pki.apiserver].flatMap(({ key }) => piecesOf(key))

const holdsNoKeyOrCanary = (t: Test, said: Said, secrets: readonly string[] = []): void =>
  holdsNoSecret(t, said, [...keys, ...secrets])

type Setup = { readonly server: Server; readonly agent: Agent; readonly hub: string; readonly cell: string }

async function setup(t: Test, flags: readonly string[]): Promise<Setup> {
  const folder = temporaryFolder(t)
  const [hub, cell, token] = ['hub.log', 'cell.log', 'token'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(token, canary('token'))
  const server = await startServer(t, {
    pki,
    flags: [`--audit-log-file=${hub}`, '-v=9', '--shutdown-quiet-time=100ms', ...flags],
  })
  const agent = await startAgent(t, server, {
    flags: [
      `--audit-log-file=${cell}`,
      `--service-account-token-path=${token}`,
      '-v=9',
      '--heartbeat-interval=200ms',
      '--drain-quiet-time=100ms',
    ],
  })
  return { server, agent, hub, cell }
}

async function saidBy({ server, agent, hub, cell }: Setup): Promise<Said> {
  const [ofServer, ofAgent] = await Promise.all([
    endpointsOf('server', [server.healthPort, server.adminPort]),
    endpointsOf('agent', [agent.healthPort, agent.adminPort]),
  ])
  const [serverArguments, agentArguments] = [argumentsOf(server), argumentsOf(agent)]
  for (const program of [agent, server]) program.signal('SIGTERM')
  await Promise.all([agent.ended, server.ended])
  return {
    ...ofServer,
    ...ofAgent,
    'arguments of the server': serverArguments,
    'arguments of the agent': agentArguments,
    'log of the server': spoken(server),
    'log of the agent': spoken(agent),
    'audit log of the server': readFileSync(hub, 'utf8'),
    'audit log of the agent': readFileSync(cell, 'utf8'),
  }
}

t.test('the search finds what it looks for', async (t) => {
  t.strictSame(canariesIn(`x${canary('a')}y`), [`x${canary('a')}`])
  const bytes = (before: number): Buffer => Buffer.from(`${' '.repeat(before)}${canary('a')} and more`)
  for (const shown of [
    bytes(0).toString('hex'),
    JSON.stringify(bytes(0)),
    JSON.stringify(new Uint8Array(bytes(0))),
    inspect(bytes(0)),
    inspect(new Uint8Array(bytes(0))),
    ...[0, 1, 2].map((before) => bytes(before).toString('base64')),
  ]) {
    t.equal(canariesIn(shown).length, 1, shown)
  }
  t.ok(keys.length >= 9, `${keys.length} pieces of keys`)
  t.ok(keys.some((piece) => pki.agent.key.includes(piece)))
})

t.test('over http-connect no secret is in anything that is said', async (t) => {
  const all = await setup(t, [])
  const { server, hub, cell } = all
  const socket = await connectFrontend(server)
  socket.write(withSecrets(connectHead(target.address)))
  socket.write(canary('early'))
  const echoed = await new Promise<string>((resolve) => {
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString()
      if (text.includes(canary('early'))) resolve(text)
    })
  })
  t.match(echoed, /^HTTP\/1\.1 200 /, 'headers like these are taken')
  await echoOver(socket, canary('payload'))
  socket.destroy()
  const broken = await openTunnel(server, target.address)
  await echoOver(broken, canary('payload'))
  const ended = endOf(broken)
  for (const open of target.sockets) open.resetAndDestroy()
  await ended
  const answers = {
    'a dial that fails': await ask(server, withSecrets(connectHead(await closedPort()))),
    'a target with a password': await askFor(server, `alice:${canary('password')}@10.0.0.1:443`),
    'a URL': await askFor(server, `https://alice:${canary('url')}@10.0.0.1:443/?token=${canary('query')}`),
    'another method': await ask(server, withSecrets('GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
    'a body': await ask(server, withSecrets(`CONNECT a:1 HTTP/1.1\r\nContent-Length: 20\r\n\r\n`) + canary('body')),
    'a header that is none': await ask(server, `CONNECT a:1 HTTP/1.1\r\n${canary('header')}\r\n\r\n`),
    'no HTTP': await ask(server, `${canary('garbage')}\r\n\r\n`),
    'another role': await ask(server, withSecrets(connectHead(target.address)), pki.agent),
  }
  for (const headers of [
    { authorization: `Bearer ${canary('agent')}`, 'x-token': canary('agent') },
    { agentid: 'x', authorization: `Bearer ${canary('agent')}` },
  ]) {
    const agent = await openWireAgent(t, server, { headers })
    await Promise.race([agent.ended(), agent.answer()])
    agent.http.destroy()
  }
  await auditHas(hub, { event: 'end', outcome: 'reset' })
  await auditHas(cell, { event: 'dial', outcome: 'failed' })
  const said = await saidBy(all)
  t.match(said['audit log of the agent'], /"bytesToTarget":\d\d/, 'there is something to look at')
  holdsNoKeyOrCanary(t, said)
  holdsNoKeyOrCanary(t, { answers: JSON.stringify(answers) })
})

t.test('over gRPC no secret is in anything that is said', async (t) => {
  const all = await setup(t, ['--mode=grpc'])
  const { server, hub, cell } = all
  const client = grpcClient(t, server)
  const call = client.call()
  call.send(dialRequest(target.address))
  const { connectID } = await call.next('dialResponse')
  call.send(dataOf(connectID, canary('payload')))
  t.equal((await call.next('data')).data.toString(), canary('payload'))
  for (const address of [
    `alice:${canary('password')}@127.0.0.1:1`,
    `https://alice:${canary('url')}@127.0.0.1:1`,
    `alice:${canary('name')}@nowhere.invalid:443`,
  ]) {
    const wrong = client.call()
    wrong.send(dialRequest(address))
    t.match(await wrong.next('dialResponse'), { error: String }, address)
    wrong.finish()
  }
  await auditHas(hub, { event: 'dial' }, 4)
  await auditHas(cell, { event: 'dial' }, 4)
  call.send(dataOf('4711', canary('stray')))
  call.send({ type: 'DIAL_RSP', dialResponse: { error: canary('strange'), connectID: '1', random: '1' } })
  call.finish()
  await call.status
  await auditHas(hub, { event: 'end' })
  holdsNoKeyOrCanary(t, await saidBy(all))
})

t.test('a token that cannot be used, and keys in the wrong place, are not shown', async (t) => {
  const folder = temporaryFolder(t)
  const token = join(folder, 'token')
  writeFileSync(token, `${canary('token')}\nsecond line`)
  const server = await startServer(t, { pki })
  const agent = await launchAgent(t, server, { flags: [`--service-account-token-path=${token}`] })
  await agent.logged('could not connect')
  t.match(spoken(agent), /holds more than one line/)
  holdsNoKeyOrCanary(t, { 'log of the agent': spoken(agent) })
  for (const flags of [
    [`--cluster-cert=${pki.server.keyFile}`],
    [`--cluster-key=${pki.agent.keyFile}`],
    [`--cluster-ca-cert=${pki.apiserver.keyFile}`],
    [`--audit-log-file=${pki.server.keyFile}`],
  ]) {
    const { message } = (await startServer(t, { pki, flags }).catch((error: Error) => error)) as Error
    t.match(message, /ended with/, flags.join())
    holdsNoKeyOrCanary(t, { [`refusal of ${flags}`]: message })
  }
})

t.test('the token of the admin port and join tokens are shown to nobody', async (t) => {
  const folder = temporaryFolder(t)
  const file = (name: string): string => join(folder, name)
  writeFileSync(file('admin-token'), canary('admin'))
  const { certificateFile, keyFile } = writePair(folder, 'ca', pki.authority, 'replace')
  const tokens = file('join-tokens')
  const ca = ['--ca', certificateFile, '--tokens', tokens]
  const [used, unused] = [file('used'), file('unused')]
  for (const out of [used, unused])
    t.match(await run(create, ['--cluster=eu-1', ...ca, '--out', out]), { kind: 'done' })
  const secrets = [used, unused].map((path) => readJoinToken(readFileSync(path, 'utf8')).secret)
  const server = await startServer(t, {
    pki,
    flags: [
      `--admin-token-file=${file('admin-token')}`,
      `--enrolment-ca-cert=${certificateFile}`,
      `--enrolment-ca-key=${keyFile}`,
      `--join-tokens=${tokens}`,
      `--audit-log-file=${file('hub.log')}`,
      '-v=9',
    ],
  })
  const agent = await launchAgent(t, server, {
    flags: [
      `--join-token-file=${used}`,
      `--agent-cert=${file('agent.crt')}`,
      `--agent-key=${file('agent.key')}`,
      `--audit-log-file=${file('cell.log')}`,
      '-v=9',
    ],
  })
  await agent.logged('connected')
  const said: Record<string, string> = {}
  for (const token of [canary('admin'), `${canary('admin')}x`, '']) {
    for (const path of ['/metrics', '/v1/clusters', `/v1/clusters/${encodeURIComponent(token)}`, '/nowhere']) {
      const headers = { Authorization: `Bearer ${token}` }
      const response = await fetchFrom(server.adminPort, path, { headers })
      if (path === '/v1/clusters') t.equal(response.status, token === canary('admin') ? 200 : 401)
      said[`${path} by ${token.length}`] = `${JSON.stringify([...response.headers])}${await response.text()}`
    }
  }
  const listed = await run(list, ['--tokens', tokens])
  t.match(listed, { kind: 'done' })
  for (const program of [agent, server]) program.signal('SIGTERM')
  await Promise.all([agent.ended, server.ended])
  const all = {
    ...said,
    'culvert token list': JSON.stringify(listed),
    'log of the server': spoken(server),
    'log of the agent': spoken(agent),
    'audit log of the server': readFileSync(file('hub.log'), 'utf8'),
    'audit log of the agent': readFileSync(file('cell.log'), 'utf8'),
  }
  t.match(all['audit log of the server'], /"event":"certificate"/)
  holdsNoKeyOrCanary(t, all, secrets)
})
