import { spawn } from 'node:child_process'
import { EventEmitter, on, once } from 'node:events'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { shutdownSignals } from '../../src/platform/shutdown.ts'

/** A real program that says which stage it is in, stays up, and ends at `now` only if told so. */
function run(t: Test, atNow: string) {
  const program = `
    import { shutdownSignals } from ${JSON.stringify(new URL('../../src/platform/shutdown.ts', import.meta.url).href)}
    const { drain, now } = shutdownSignals()
    drain.addEventListener('abort', () => console.log('drain', drain.reason))
    now.addEventListener('abort', () => { console.log('now', now.reason); ${atNow} })
    setInterval(() => {}, 1_000)
    console.log('up')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = on(createInterface(child.stdout), 'line', { signal: AbortSignal.timeout(20_000) })
  const line = async (): Promise<string> => (await lines.next()).value?.[0]
  return { child, line, exited: once(child, 'exit') }
}

t.test('drains at the first signal, ends at the second', async (t) => {
  const { child, line, exited } = run(t, 'process.exit(3)')
  t.equal(await line(), 'up')
  child.kill('SIGTERM')
  t.equal(await line(), 'drain SIGTERM')
  child.kill('SIGINT')
  t.equal(await line(), 'now SIGINT')
  t.strictSame(await exited, [3, null])
})

t.test('leaves the third signal to the system, should the end hang', async (t) => {
  const { child, line, exited } = run(t, '')
  t.equal(await line(), 'up')
  for (const stage of ['drain', 'now']) {
    child.kill('SIGINT')
    t.equal(await line(), `${stage} SIGINT`)
  }
  child.kill('SIGTERM')
  t.strictSame(await exited, [null, 'SIGTERM'])
})

t.test('listens no more once it is disposed of', async (t) => {
  const source = new EventEmitter()
  const shutdown = shutdownSignals(source)
  shutdown[Symbol.dispose]()
  t.equal(source.listenerCount('SIGINT') + source.listenerCount('SIGTERM'), 0)
  source.emit('SIGTERM', 'SIGTERM')
  t.notOk(shutdown.drain.aborted)
})
