/** What a server is shown of the agent's token while a connection lasts: the file as its watch sees it, over HTTP/2. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createKnownToken } from '../../src/proxy-agent/known-token.ts'
import { watchTokenFile } from '../../src/proxy-agent/token-file.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { event, eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const LOOK_MS = 5_000
const TAKEN = 'the server knows the new token'
const NOT_TAKEN = 'the server does not take the new token for this connection'

/** @param refusals so often the server refuses what it is shown. @param own the token that the connection is made with */
async function setup(t: Test, refusals: number, own = 'hunter1') {
  const shown: unknown[] = []
  const server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, { authorization }) => {
    shown.push(authorization)
    stream.respond({ ':status': shown.length <= refusals ? 403 : 200 })
    stream.end()
  })
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await event(server, 'listening')
  const http = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(() => http.destroy())
  const file = join(temporaryFolder(t), 'token')
  const write = (token: string): void => {
    writeFileSync(`${file}.new`, token)
    renameSync(`${file}.new`, file)
  }
  write('hunter1')
  const [clock, log] = [manualClock(), recordedLog()]
  const watch = watchTokenFile(file, { clock, log, changed: () => known.renewed() })
  if (!watch) throw new Error('there is a file to watch')
  const random = (): number => 1
  const known = createKnownToken({ http, currentToken: watch.current, clock, random }, own)
  const looks = (): void => {
    clock.advance(LOOK_MS)
    clock.advance(LOOK_MS)
  }
  return {
    clock,
    log,
    known,
    shown,
    write,
    looks,
    remove: () => rmSync(file),
    said: (msg: string, times = 1) =>
      eventually(
        `${times} times: ${msg}`,
        () => log.lines.filter(({ message }) => message === msg).length,
        (count) => count === times,
      ),
  }
}

t.test('shows a token that comes, and one that is not taken again, soon enough for its end', async (t) => {
  const { clock, log, known, shown, write, looks, said } = await setup(t, 9)
  known.begin(log)
  write('hunter2')
  looks()
  const before = clock.asked.length
  for (let refusals = 1; refusals <= 9; refusals++) {
    await said(NOT_TAKEN, refusals)
    clock.advance(15_000)
  }
  await said(TAKEN)
  t.strictSame(new Set(shown), new Set(['Bearer hunter2']))
  const waits = clock.asked.slice(before).filter((ms) => ms !== LOOK_MS)
  t.strictSame([waits.length, Math.max(...waits)], [9, 15_000])
  t.notMatch(JSON.stringify(log.lines), /hunter/)
})

t.test('shows one again also while its file cannot be read', async (t) => {
  const { clock, log, known, shown, write, looks, remove, said } = await setup(t, 1)
  known.begin(log)
  write('hunter2')
  looks()
  await said(NOT_TAKEN)
  remove()
  clock.advance(2_000)
  await said(TAKEN)
  t.strictSame(shown, ['Bearer hunter2', 'Bearer hunter2'])
})

t.test('a connection that was made with a newer token than the watch has seen is not shown the old one', async (t) => {
  const { log, known, shown, write, looks, said } = await setup(t, 0, 'hunter2')
  write('hunter2')
  known.begin(log)
  looks()
  write('hunter3')
  looks()
  await said(TAKEN)
  t.strictSame(shown, ['Bearer hunter3'])
})
