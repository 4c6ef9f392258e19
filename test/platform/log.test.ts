import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { TunnelError } from '../../src/platform/errors.ts'
import { createLog, type Log } from '../../src/platform/log.ts'
import type { LogOptions } from '../../src/platform/log-options.ts'

function record(options: Partial<LogOptions> = {}): { log: Log; lines: string[] } {
  const lines: string[] = []
  const sink = { write: (line: string) => void lines.push(line) }
  return { log: createLog('proxy-server', { logFormat: 'json', logLevel: 'info', ...options }, sink), lines }
}

t.test('writes one JSON record for each event, with names instead of numbers', async (t) => {
  const { log, lines } = record()
  log.child({ agent: 'a-1' }).warn({ waited_ms: 5 }, 'late')
  t.equal(lines.length, 1)
  const event = JSON.parse(lines[0] ?? '')
  t.match(event, { level: 'warn', program: 'proxy-server', agent: 'a-1', waited_ms: 5, msg: 'late' })
  t.match(event.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
})

t.test('writes lines for people when asked to', async (t) => {
  const { log, lines } = record({ logFormat: 'text' })
  log.error({ err: new TunnelError('no-agent', 'nobody there', { cause: new Error('gone') }) }, 'dial failed')
  t.match(lines, [/^\S+Z error proxy-server: dial failed err="nobody there: gone" code=no-agent\n$/])
})

t.test('leaves out what is less severe than wanted', async (t) => {
  const { log, lines } = record({ logLevel: 'warn' })
  log.debug({}, 'a')
  log.info({}, 'b')
  log.warn({}, 'c')
  t.equal(lines.length, 1)
})

t.test('never writes a key or a token, should one be passed', async (t) => {
  for (const logFormat of ['json', 'text'] as const) {
    const { log, lines } = record({ logFormat })
    log.info({ token: 'canary', tls: { key: 'canary', cert: 'public' }, authorization: 'canary' }, 'mistake')
    t.notMatch(lines[0], /canary/)
    t.match(lines[0], /public/)
  }
})

/** Runs a program that logs `count` events when told to, and then does what `after` says. */
function run(t: Test, count: number, after: string, log: 'pipe' | number = 'pipe') {
  const program = `
    import { createLog } from ${JSON.stringify(new URL('../../src/platform/log.ts', import.meta.url).href)}
    const log = createLog('proxy-agent', { logFormat: 'text', logLevel: 'info' })
    process.stdin.once('data', () => {
      for (let n = 1; n <= ${count}; n++) log.info({ n }, 'event')
      ${after}
    })
    process.stdout.write('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['pipe', 'pipe', log],
    timeout: 20_000,
  })
  t.teardown(() => child.kill('SIGKILL'))
  return { child, exited: once(child, 'exit') }
}

t.test('has written every line when the program exits without waiting', async (t) => {
  const { child, exited } = run(t, 5_000, 'process.exit(7)')
  child.stdin!.write('go')
  const lines = (await text(child.stderr!)).trimEnd().split('\n')
  t.equal(lines.length, 5_000)
  t.match(lines.at(-1), /event n=5000$/)
  t.strictSame(await exited, [7, null])
})

const later = 'setImmediate(() => setImmediate(() => process.exit(7)))' // an error event of the stream comes before it

t.test('lets the program go on when nobody reads the log any more', async (t) => {
  const { child, exited } = run(t, 3, later)
  await once(child.stdout!, 'data')
  child.stderr!.destroy()
  child.stdin!.write('go')
  t.strictSame(await exited, [7, null])
})

t.test('lets the program go on when the disk of the log is full', async (t) => {
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  const { child, exited } = run(t, 3, later, full)
  child.stdin!.write('go')
  t.strictSame(await exited, [7, null])
})
