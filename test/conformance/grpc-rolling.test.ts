/**
 * Servers of ours that are replaced one after the other on one Unix socket, under clients of gRPC mode that never stop dialling
 * and take no failure for an answer: konnectivity's library, with a connection for each dial and with one for all, and
 * @grpc/grpc-js. Servers end as early as they may, so that dials cross GOAWAY.
 */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki, temporaryFolder } from '../integration/certificates.ts'
import { echoOver } from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { figure, SERVER } from '../integration/figures.ts'
import { dialRequest, grpcClient } from '../integration/grpc-client.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { startTunnel, type Tunnel } from '../integration/tunnel.ts'
import { makeAsk, open } from './frontend.ts'

const RESTARTS = 4
const DIALLERS = 8
/** Dials between two restarts. */
const LEAST_DIALS = 40
const pki = await makePki(t)
const target = await listenTarget(t, echo)
t.setTimeout(300_000)

type Frontend = { readonly pki: typeof pki; readonly socketPath: string; readonly frontendPort: number }
/** Dials, and has some bytes come back. @throws Error when that fails */
type Dial = () => Promise<void>

async function byLibrary(t: Test, frontend: Frontend, client: 'v0.36.0' | 'v0.37.0'): Promise<Dial> {
  const ask = await makeAsk(t, { mode: 'grpc', transport: 'uds', client }, frontend, temporaryFolder(t))
  return async () => {
    const socket = await open(ask, target.address)
    await echoOver(socket, 'hello')
    socket.destroy()
  }
}

function byGrpcJs(t: Test, frontend: Frontend): Dial {
  const client = grpcClient(t, { ...frontend, transport: 'uds' })
  return async () => {
    const call = client.call()
    call.send(dialRequest(target.address))
    const failed = call.status.then(({ code, details }) => Promise.reject(new Error(`${code} ${details}`)))
    failed.catch(() => undefined) // also when it ends in order
    const { error = '' } = await Promise.race([call.next('dialResponse'), failed])
    if (error !== '') throw new Error(error)
    call.finish()
    await call.status
  }
}

for (const [what, make] of [
  ["konnectivity's client with a connection for each dial", (t, to) => byLibrary(t, to, 'v0.36.0')],
  ["konnectivity's client with one connection for all dials", (t, to) => byLibrary(t, to, 'v0.37.0')],
  ['@grpc/grpc-js', async (t, to) => byGrpcJs(t, to)],
] as readonly [string, (t: Test, to: Frontend) => Promise<Dial>][]) {
  t.test(`${what} does not notice that servers are replaced`, async (t) => {
    const socketPath = join(temporaryFolder(t), 'frontend.sock')
    /** Clients get to it once it has an agent. */
    const start = async (id: number): Promise<Tunnel> => {
      const flags = ['--mode=grpc', `--server-id=s-${id}`, '--shutdown-quiet-time=0s']
      const started = await startTunnel(t, { pki, transport: 'uds', flags })
      renameSync(started.server.socketPath, socketPath)
      return started
    }
    let tunnel = await start(0)
    const dial = await make(t, { pki, socketPath, frontendPort: 0 })
    const failures: string[] = []
    let done = 0
    let stopped = false
    const diallers = Array.from({ length: DIALLERS }, async () => {
      while (!stopped) {
        await dial().catch((error: Error) => failures.push(error.message))
        done++
      }
    })
    for (let id = 1; id <= RESTARTS; id++) {
      const enough = done + LEAST_DIALS
      await eventually('there are dials', () => done >= enough, Boolean)
      const next = await start(id)
      tunnel.server.signal('SIGTERM')
      t.strictSame(await within(tunnel.server.ended, 'the end of a server'), { code: 0, signal: null })
      tunnel.agent.signal('SIGTERM')
      await tunnel.agent.ended
      tunnel = next
    }
    stopped = true
    await Promise.all(diallers)
    t.strictSame(failures, [])
    t.ok((await figure(tunnel.server, `${SERVER}dial_duration_seconds_count`)) > 0, 'the last server has served')
    t.comment(`${done} dials`)
  })
}
