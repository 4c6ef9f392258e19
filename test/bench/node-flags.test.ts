/** Nothing can be imported from a launcher in `bin/`: what it gives to Node is seen by one that only says how it was started. */
import { execFile } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { NODE_FLAGS } from '../../bench/node-flags.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
/** A flag of Node's own and not of V8: it costs nothing. */
const NO_DEBUGGER = '--disable-sigusr1'

t.test('what makes load has the flags of V8 that the programs have', async (t) => {
  const node = join(t.testdir(), 'node')
  writeFileSync(node, `#!/bin/sh\nif [ "$1" = --version ]; then echo v26.0.0; exit; fi\nprintf '%s\\n' "$@"\n`)
  chmodSync(node, 0o755)
  for (const program of ['proxy-server', 'proxy-agent']) {
    const { stdout } = await promisify(execFile)(join(CHECKOUT, 'bin', program), [], {
      env: { ...process.env, CULVERT_NODE: node },
    })
    const given = stdout.trimEnd().split('\n')
    t.equal(given.pop(), join(CHECKOUT, `src/cli/${program}.ts`))
    t.ok(given.includes(NO_DEBUGGER))
    t.strictSame(new Set(given.filter((flag) => flag !== NO_DEBUGGER)), new Set(NODE_FLAGS))
  }
})
