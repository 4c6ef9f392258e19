import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { processorMs } from '../../bench/process-usage.ts'

/** Spends so much processor time, says so, and waits to be ended. */
const spends = (ms: number): string =>
  `const end = process.cpuUsage().user + ${ms * 1000}; while (process.cpuUsage().user < end) for (let i = 0; i < 1e6; i++); console.log('spent'); process.stdin.resume()`

t.test('counts what the processes have spent that a process has started', async (t) => {
  const child = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(spends(600))}], { stdio: 'inherit' })`
  const parent = spawn(process.execPath, ['-e', child], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => parent.stdin.end())
  await once(parent.stdout, 'data')
  const spent = await processorMs(parent.pid!)
  t.ok(spent >= 600 && spent < 2_000, `${spent} ms`)
})

t.test('fails for a process that is gone', async (t) => {
  const gone = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' })
  await once(gone, 'close')
  await t.rejects(processorMs(gone.pid!), { code: 'ENOENT' })
})
