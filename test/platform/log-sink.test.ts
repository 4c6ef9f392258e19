import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { type KlogOptions, klogOptions } from '../../src/platform/klog-options.ts'
import { type LogSink, logSink } from '../../src/platform/log-sink.ts'
import { readOptions } from '../../src/platform/options.ts'

const DEADLINE_MS = 30_000
const SINK = pathToFileURL(join(import.meta.dirname, '../../src/platform/log-sink.ts')).href

function optionsOf(...argv: string[]): KlogOptions {
  const read = readOptions(klogOptions, argv, [])
  if (read.ok !== true) throw new Error(JSON.stringify(read))
  return read.values
}

/** What came to standard error, and what was said of the file. */
type Opened = { readonly sink: LogSink; readonly seen: string[]; readonly events: string[] }

function open(...argv: string[]): Opened {
  const seen: string[] = []
  const events: string[] = []
  const sink = logSink(
    'proxy-agent',
    optionsOf(...argv),
    { failed: (reason) => events.push(`failed ${reason}`), recovered: () => events.push('recovered') },
    { write: (line) => void seen.push(line) },
  )
  return { sink, seen, events }
}

t.test('brings every line to standard error where there is no file', async (t) => {
  const { sink, seen, events } = open()
  sink.write('one\n', 'debug')
  sink.write('two\n', 'error')
  t.strictSame(seen, ['one\n', 'two\n'])
  t.strictSame(events, [])
})

t.test('brings every line to the file, and errors to standard error as well', async (t) => {
  const path = join(t.testdir(), 'log')
  const { sink, seen } = open('--logtostderr=false', `--log-file=${path}`)
  sink.write('fine\n', 'info')
  sink.write('amiss\n', 'warn')
  sink.write('broken\n', 'error')
  t.equal(readFileSync(path, 'utf8'), 'fine\namiss\nbroken\n', 'as soon as the call returns')
  t.strictSame(seen, ['broken\n'])
})

t.test("names the file in a folder after the program, as konnectivity's do", async (t) => {
  const folder = t.testdir()
  open('--logtostderr=false', `--log-dir=${folder}`).sink.write('one\n', 'info')
  t.equal(readFileSync(join(folder, 'proxy-agent.INFO'), 'utf8'), 'one\n')
})

t.test('loses no line that the file does not take', async (t) => {
  const { sink, seen, events } = open('--logtostderr=false', '--log-file=/dev/full')
  sink.write('one\n', 'info')
  sink.write('two\n', 'error')
  t.strictSame(seen, ['one\n', 'two\n'], 'each of them once')
  t.strictSame(events, ['failed ENOSPC'])
})

t.test('begins the file anew at half of its size in MiB', async (t) => {
  const mebibyte = `${'x'.repeat(1_023)}\n`.repeat(1_024)
  const path = join(t.testdir(), 'log')
  const { sink } = open('--logtostderr=false', `--log-file=${path}`, '--log-file-max-size=4')
  sink.write(mebibyte, 'info')
  sink.write(mebibyte, 'info')
  t.notOk(existsSync(`${path}.1`))
  sink.write('more\n', 'info')
  t.equal(readFileSync(`${path}.1`, 'utf8').length, 2 * mebibyte.length)
  t.equal(readFileSync(path, 'utf8'), 'more\n')
})

/** A program that logs when it is told to, then says that it is there. */
function logging(t: Test, standardError: 'pipe' | number) {
  const script = [
    `import { logSink } from ${JSON.stringify(SINK)}`,
    `const sink = logSink('proxy-agent', ${JSON.stringify(optionsOf())}, { failed() {}, recovered() {} })`,
    'process.stdin.once("data", () => {',
    '  for (const line of ["one", "two"]) sink.write(line + "\\n", "info")',
    '  setImmediate(() => console.log("still here"))',
    '})',
  ]
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script.join('\n')], {
    stdio: ['pipe', 'pipe', standardError],
    timeout: DEADLINE_MS,
  })
  t.teardown(() => child.kill('SIGKILL'))
  const said = text(child.stdout!)
  const ended = once(child, 'close')
  return {
    child,
    async log(): Promise<readonly [string, unknown]> {
      child.stdin!.end('now')
      const [code] = await ended
      return [await said, code]
    },
  }
}

t.test('writes to standard error at once', async (t) => {
  const { child, log } = logging(t, 'pipe')
  const lines = text(child.stderr!)
  t.strictSame(await log(), ['still here\n', 0])
  t.equal(await lines, 'one\ntwo\n')
})

t.test('a reader of the log that goes away, or a full disk, does not take the program with it', async (t) => {
  const unread = logging(t, 'pipe')
  unread.child.stderr!.destroy()
  t.strictSame(await unread.log(), ['still here\n', 0])
  const full = openSync('/dev/full', 'w')
  t.teardown(() => closeSync(full))
  t.strictSame(await logging(t, full).log(), ['still here\n', 0])
})
