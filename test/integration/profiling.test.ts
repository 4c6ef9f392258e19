/** Profiles of the running programs, while bytes go through them. */
import { gunzipSync } from 'node:zlib'
import { Profile } from 'pprof-format'
import t from 'tap'
import { openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel } from './tunnel.ts'

const CHUNK = Buffer.alloc(65_536)
const flags = ['--enable-profiling', '--enable-contention-profiling']
const plain = await startTunnel(t)
const profiled = await startTunnel(t, { pki: plain.server.pki, flags }, { flags })
const target = await listenTarget(t, echo)

async function namesIn(response: Response): Promise<string[]> {
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`)
  const { function: functions, stringTable } = Profile.decode(gunzipSync(await response.arrayBuffer()))
  return functions.map(({ name }) => stringTable.strings[Number(name)] ?? '')
}

t.test('CPU profiles of both programs name what a transfer goes through', async (t) => {
  const socket = await openTunnel(profiled.server, target.address)
  t.teardown(() => socket.destroy())
  const pump = (): void => {
    while (!socket.destroyed && socket.write(CHUNK));
  }
  socket.on('error', () => undefined).on('drain', pump)
  socket.resume()
  pump()
  for (const { adminPort, name } of [profiled.server, profiled.agent]) {
    await eventually(
      `a profile of ${name} names the tunnel`,
      async () => namesIn(await fetchFrom(adminPort, '/debug/pprof/profile?seconds=1')),
      (names) => names.some((each) => /^tunnel\/[a-z-]+\.ts:/.test(each)),
      60_000,
    )
  }
})

t.test('heap and block profiles of both programs can be had at once', async (t) => {
  for (const { adminPort, name } of [profiled.server, profiled.agent]) {
    await namesIn(await fetchFrom(adminPort, '/debug/pprof/heap?gc=1'))
    // One allocation in 512 KiB is sampled: after a collection it may be that none of those is alive.
    await eventually(
      `a heap profile of ${name} names who allocated`,
      async () => namesIn(await fetchFrom(adminPort, '/debug/pprof/heap')),
      (names) => names.length > 0,
    )
    await namesIn(await fetchFrom(adminPort, '/debug/pprof/block'))
    const index = await fetchFrom(adminPort, '/debug/pprof')
    t.match(index.url, /\/debug\/pprof\/$/)
    t.match(await index.text(), /go tool pprof/)
  }
})

t.test('there are none without the flag, and none on the health ports', async (t) => {
  const ports = [plain.server.adminPort, plain.agent.adminPort, profiled.server.healthPort, profiled.agent.healthPort]
  for (const port of ports) {
    for (const path of ['/debug/pprof', '/debug/pprof/', '/debug/pprof/profile', '/debug/pprof/heap']) {
      t.equal((await fetchFrom(port, path, { redirect: 'manual' })).status, 404, path)
    }
  }
})

t.test('a profile under way holds up neither program when it is told to end', async (t) => {
  for (const program of [profiled.agent, profiled.server]) {
    // Whichever comes first is taken, and the other one is refused: then the program is at it.
    const both = [1, 2].map(() => fetchFrom(program.adminPort, '/debug/pprof/profile?seconds=300'))
    t.equal((await Promise.race(both)).status, 500)
    program.signal('SIGTERM')
    t.strictSame(await program.ended, { code: 0, signal: null })
    await Promise.allSettled(both)
  }
})
