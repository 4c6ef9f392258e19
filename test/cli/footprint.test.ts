/** What the programs have in memory before anybody uses them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'

const CLI = join(import.meta.dirname, '../../src/cli')
/** Prints the modules of Node's own that were loaded by the end, one a line. */
const SHOW_LOADED = `data:text/javascript,process.on('exit', () => console.log(process.moduleLoadList.join('\\n')))`

for (const program of ['proxy-server', 'proxy-agent']) {
  t.test(`${program} does not load the client of fetch, which it does not use`, async (t) => {
    const args = ['--import', SHOW_LOADED, join(CLI, `${program}.ts`), '--version']
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 30_000 })
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    const loaded = output.split('\n')
    t.equal(code, 0)
    t.ok(loaded.includes('NativeModule http2'), 'the list is one')
    t.notOk(loaded.includes('NativeModule internal/deps/undici/undici'))
  })
}
