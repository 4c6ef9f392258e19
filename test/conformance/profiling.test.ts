/** Our profiles in the hands of Go's own tool, which is what reads konnectivity's. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { makePki, temporaryFolder } from '../integration/certificates.ts'
import { openTunnel } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { agentOf, serverOf } from './programs-of.ts'

const CHUNK = Buffer.alloc(65_536)
const SECONDS = 3
const TOOL_DEADLINE_MS = 120_000
const flags = ['--enable-profiling', '--enable-contention-profiling']

const pki = await makePki(t)
const server = await serverOf(t, 'ours', pki, flags)
const agent = await agentOf(t, 'ours', server, flags)
await server.answersOk(server.healthPort, '/readyz')
const target = await listenTarget(t, echo)
const folder = temporaryFolder(t)

/** The tool fetches and reads; it keeps what it has fetched in a folder. */
async function pprof(port: number, path: string, ...options: string[]): Promise<string> {
  const url = `http://localhost:${port}/debug/pprof/${path}`
  const env = { ...process.env, PPROF_TMPDIR: folder }
  const args = ['tool', 'pprof', ...options, url]
  const { stdout } = await promisify(execFile)('go', args, { env, timeout: TOOL_DEADLINE_MS })
  return stdout
}

t.test('it fetches CPU profiles by URL and names our functions under load', async (t) => {
  const socket = await openTunnel(server, target.address)
  t.teardown(() => socket.destroy())
  const pump = (): void => {
    while (!socket.destroyed && socket.write(CHUNK));
  }
  socket.on('error', () => undefined).on('drain', pump)
  socket.resume()
  pump()
  for (const [name, { adminPort }] of Object.entries({ server, agent })) {
    const top = await eventually(
      `a profile of the ${name} names functions of the tunnel`, // a busy machine leaves us little to be seen at
      () => pprof(adminPort, `profile?seconds=${SECONDS}`, '-top', '-nodecount=500'),
      (seen) => / tunnel\/[a-z-]+\.ts:[a-zA-Z]+$/m.test(seen),
      TOOL_DEADLINE_MS,
    )
    t.match(top, /^Type: cpu$/m, name)
    const [, duration] = /^Duration: ([\d.]+)s, Total samples = /m.exec(top) ?? []
    t.ok(Number(duration) >= SECONDS, `${name}: ${duration} s`)
    t.match(top, / \((program|garbage collector)\)$/m, name)
    t.notMatch(top, /\(idle\)|\(root\)/, name)
  }
  const raw = await eventually(
    'functions of ours with their files and lines',
    () => pprof(server.adminPort, `profile?seconds=${SECONDS}`, '-raw'),
    (seen) => / \S+\.ts:\w+ \/\S+\/src\/\S+\.ts:\d+:0 s=\d+$/m.test(seen),
    TOOL_DEADLINE_MS,
  )
  t.match(raw, /^PeriodType: cpu nanoseconds\nPeriod: 10000000$/m)
  t.match(raw, /^samples\/count cpu\/nanoseconds$/m)
})

t.test('it reads heap and block profiles', async (t) => {
  const raw = await pprof(server.adminPort, 'heap', '-raw')
  t.match(raw, /^PeriodType: space bytes\nPeriod: 524288$/m)
  t.match(raw, /^inuse_space\/bytes$/m)
  t.match(await pprof(server.adminPort, 'heap?gc=1', '-comments'), /^rss \d+ bytes$/m)
  t.match(await pprof(agent.adminPort, 'heap', '-top'), /^Type: inuse_space$/m)
  for (const { adminPort } of [server, agent]) {
    const block = await pprof(adminPort, 'block', '-top', '-sample_index=contentions')
    t.match(block, /^Type: contentions$/m)
    t.match(block, / event loop$/m)
  }
})

t.test('it shows why there is no profile', async (t) => {
  const refusals: Readonly<Record<string, RegExp>> = {
    goroutine: /Unknown profile/,
    'heap?seconds=5': /not supported for this profile type/,
  }
  for (const [path, says] of Object.entries(refusals)) {
    const { stderr } = await pprof(server.adminPort, path, '-top').then(
      () => ({ stderr: 'there was one' }),
      (error: { readonly stderr: string }) => error,
    )
    t.match(stderr, says, path)
  }
})
