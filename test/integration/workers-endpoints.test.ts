/** What a server with workers shows, takes and refuses besides serving. */
import t from 'tap'
import { eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { type Server, startServer } from './tunnel.ts'
import { startTeam } from './workers.ts'

t.test('what a worker cannot start with is told as with one process', async (t) => {
  const { pki, agentPort } = await startServer(t)
  const port = `--agent-port=${agentPort}`
  await t.rejects(startServer(t, { pki, flags: ['--workers=2', port] }), /something else listens there/)
  const notACertificate = `--cluster-cert=${pki.server.keyFile}`
  await t.rejects(startServer(t, { pki, flags: ['--workers=2', notACertificate] }), /--cluster-cert/)
})

t.test('profiles are those of the worker that is asked for', async (t) => {
  const { server } = await startTeam(t, { flags: ['--enable-profiling'] })
  const status = async (query: string): Promise<number> =>
    (await fetchFrom(server.adminPort, `/debug/pprof/heap${query}`)).status
  t.strictSame(await Promise.all(['', '?worker=1', '?worker=2', '?worker=3'].map(status)), [200, 200, 200, 404])
})

t.test('a log file has the lines of all workers', async (t) => {
  const file = `${t.testdir({})}/server.log`
  const server = await startServer(t, {
    flags: ['--workers=2', '--logtostderr=false', `--log-file=${file}`, '--alsologtostderr'],
  })
  const { readFileSync } = await import('node:fs')
  const lines = await eventually(
    'both workers have logged',
    () =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"worker serving"')),
    (found) => found.length === 2,
  )
  t.strictSame(lines.map((line) => (JSON.parse(line) as { worker: number }).worker).toSorted(), [1, 2])
  t.ok(server.pid > 0)
})

t.test('the flag takes a number or auto', async (t) => {
  for (const wrong of ['0', '65', 'many', '-1']) {
    await t.rejects(startServer(t, { flags: [`--workers=${wrong}`] }), /workers/, wrong)
  }
  const server: Server = await startServer(t, { flags: ['--workers=auto'] })
  t.ok(server.log.some(({ msg }) => msg === 'serving'))
})
