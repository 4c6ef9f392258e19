import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { TunnelError } from '../../src/platform/errors.ts'
import { createLog, type Log } from '../../src/platform/log.ts'
import { type LogOptions, logOptions } from '../../src/platform/log-options.ts'
import { readOptions } from '../../src/platform/options.ts'

function optionsOf(argv: string[]): LogOptions {
  const read = readOptions(logOptions, argv, [])
  if (read.ok !== true) throw new Error(JSON.stringify(read))
  return read.values
}

function record(...argv: string[]): { log: Log; lines: string[]; levels: string[] } {
  const lines: string[] = []
  const levels: string[] = []
  const write = (line: string, level: string): void => {
    lines.push(line)
    levels.push(level)
  }
  return { log: createLog('proxy-server', optionsOf(['--log-format=json', ...argv]), { write }), lines, levels }
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
  const { log, lines } = record('--log-format=text')
  log.error({ err: new TunnelError('no-agent', 'nobody there', { cause: new Error('gone') }) }, 'dial failed')
  t.match(lines, [/^\S+Z error proxy-server: dial failed err="nobody there: gone" code=no-agent\n$/])
})

t.test('leaves out what is less severe than wanted', async (t) => {
  const { log, lines } = record('--log-level=warn')
  log.debug({}, 'a')
  log.info({}, 'b')
  log.warn({}, 'c')
  t.equal(lines.length, 1)
})

t.test('tells where a line goes to by its level', async (t) => {
  for (const format of ['json', 'text']) {
    const { log, levels } = record(`--log-format=${format}`, '-v=5')
    log.debug({}, 'a')
    log.info({ level: 'error' }, 'b')
    log.warn({}, 'c')
    log.error({}, 'd')
    t.strictSame(levels, ['debug', 'info', 'warn', 'error'])
  }
})

t.test('logs as much as -v says, unless --log-level does', async (t) => {
  const count = (...argv: string[]): number => {
    const { log, lines } = record(...argv)
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]({}, 'a')
    return lines.length
  }
  t.strictSame(
    [[], ['-v', '0'], ['-v1'], ['-v=4'], ['--v=5']].map((argv) => count(...argv)),
    [3, 2, 3, 3, 4],
  )
  t.equal(count('-v=9', '--log-level=error'), 1)
  t.equal(count('-v=9', '--vmodule=log*=9', '--log-level=error'), 1)
})

t.test('logs more of the source files that --vmodule names', async (t) => {
  const messages = (vmodule: string, v: number): string[] => {
    const { log, lines } = record(`--vmodule=${vmodule}`, `-v=${v}`)
    log.debug({}, 'debug')
    log.child({ id: 1 }).debug({}, 'debug of a child')
    log.child({}).info({}, 'info')
    log.error({}, 'error')
    return lines.map((line) => JSON.parse(line).msg)
  }
  const all = ['debug', 'debug of a child', 'info', 'error']
  t.strictSame(messages('log.test=5', 4), all)
  t.strictSame(messages('log.*=5', 0), all)
  t.strictSame(messages('log.test=2', 0), ['info', 'error'])
  t.strictSame(messages('link=5', 4), ['info', 'error'])
  t.strictSame(messages('link=5', 5), all)
})

t.test('leaves out headers from lines of text when asked to', async (t) => {
  const { log, lines } = record('--log-format=text', '--skip-headers')
  log.info({ n: 1 }, 'event')
  t.strictSame(lines, ['event n=1\n'])
})

t.test('never writes a key or a token, should one be passed', async (t) => {
  for (const logFormat of ['json', 'text'] as const) {
    const { log, lines } = record(`--log-format=${logFormat}`)
    log.info({ token: 'canary', tls: { key: 'canary', cert: 'public' }, authorization: 'canary' }, 'mistake')
    t.notMatch(lines[0], /canary/)
    t.match(lines[0], /public/)
  }
})

/** Runs a program that logs `count` events when told to, and then does what `after` says. */
function run(t: Test, count: number, after: string, log: 'pipe' | number = 'pipe') {
  const program = `
    import { createLog } from ${JSON.stringify(new URL('../../src/platform/log.ts', import.meta.url).href)}
    const log = createLog('proxy-agent', ${JSON.stringify(optionsOf([]))})
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
