/** gRPC mode on a Unix socket: who may connect, what an earlier server left there, and what happens when the path is gone. */
import { existsSync, lstatSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki, temporaryFolder } from './certificates.ts'
import { within } from './deadline.ts'
import { launch, type Program } from './program.ts'
import { echo, listenTarget } from './target.ts'
import { agentPortFlags, startServer, startTunnel } from './tunnel.ts'
import { connectGrpcFrontend, echoOver, joinFrontend, openCall } from './wire-call.ts'

const IN_ORDER = { code: 0, signal: null }
const flags = ['--mode=grpc']
const pki = await makePki(t)
const target = await listenTarget(t, echo)

/** One that may not come to serve. */
const tryServer = (t: Test, socketPath: string, ...more: readonly string[]): Program =>
  launch(t, {
    name: 'proxy-server',
    flags: [
      ...flags,
      ...agentPortFlags(pki),
      ...['agent', 'health', 'admin'].map((name) => `--${name}-port=0`),
      '--server-port=0',
      `--uds-name=${socketPath}`,
      ...more,
    ],
  })

t.test('the owner and the group may connect, and the socket is gone when the server is', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags })
  const there = lstatSync(server.socketPath)
  t.ok(there.isSocket())
  t.equal(there.mode & 0o777, 0o770)
  server.signal('SIGTERM')
  t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
  t.notOk(existsSync(server.socketPath))
})

t.test('what a server that was killed has left is replaced by the next one, unless that is told not to', async (t) => {
  const killed = await startServer(t, { pki, transport: 'uds', flags })
  const { socketPath } = killed
  killed.signal('SIGKILL')
  await killed.ended
  t.ok(lstatSync(socketPath).isSocket(), 'its socket is still there')
  await t.rejects(connectGrpcFrontend(t, killed), { code: 'ECONNREFUSED' })

  const careful = tryServer(t, socketPath, '--delete-existing-uds-file=false')
  t.strictSame(await within(careful.ended, 'its end'), { code: 1, signal: null })
  t.match(careful.lines.join('\n'), `--uds-name: could not listen on ${socketPath}: it is there already`)
  t.ok(lstatSync(socketPath).isSocket(), 'and it has not touched it')

  const { server } = await startTunnel(t, { pki, transport: 'uds', flags: [...flags, `--uds-name=${socketPath}`] })
  const call = openCall(await joinFrontend(t, { ...server, socketPath }))
  await echoOver(call, await call.dial(target.address), 'at the same path')
})

t.test('a file that is no socket is never removed', async (t) => {
  const path = join(temporaryFolder(t), 'kubeconfig')
  writeFileSync(path, 'precious')
  const server = tryServer(t, path)
  t.strictSame(await within(server.ended, 'its end'), { code: 1, signal: null })
  t.match(server.lines.join('\n'), `--uds-name: could not listen on ${path}: it is there already`)
  t.equal(readFileSync(path, 'utf8'), 'precious')
})

t.test('a server whose socket was removed serves whoever is connected, and ends in order', async (t) => {
  const { server } = await startTunnel(t, { pki, transport: 'uds', flags })
  const http = await joinFrontend(t, server)
  const open = openCall(http)
  const id = await open.dial(target.address)
  unlinkSync(server.socketPath)
  await t.rejects(connectGrpcFrontend(t, server), { code: 'ENOENT' })
  await echoOver(open, id, 'what was open')
  const another = openCall(http)
  await echoOver(another, await another.dial(target.address), 'another call on the same connection')
  server.signal('SIGTERM')
  await echoOver(open, id, 'goes on')
  for (const call of [open, another]) call.stream.end()
  t.strictSame(await within(server.ended, 'its end'), IN_ORDER)
})
