import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'

const AWK = join(import.meta.dirname, '../../.ci/failures.awk')

/** What CI repeats of a run of these tests. */
function repeated(t: Test, tests: string): string {
  const folder = t.testdir({ 'some.test.mjs': `import t from 'tap'\n${tests}` })
  const { stdout } = spawnSync(process.execPath, ['some.test.mjs'], { cwd: folder, encoding: 'utf8' })
  return execFileSync('awk', ['-f', AWK], { input: stdout, encoding: 'utf8' })
}

t.test('of a run in which all passes nothing is repeated', async (t) => {
  t.equal(repeated(t, "t.test('adds', async (t) => void t.equal(1 + 1, 2))"), '')
})

t.test('each assertion that failed is named once, with the tests it is in and its diagnosis', async (t) => {
  const shown = repeated(
    t,
    `t.test('outer', async (t) => {
       await t.test('inner', async (t) => {
         t.equal(1, 2, 'one is two')
         t.ok(true, 'passes')
         t.equal(3, 4, 'three is four')
       })
     })
     t.test('after', async (t) => void t.ok(true, 'passes too'))`,
  )
  const named = shown.split('\n').filter((line) => line.includes('not ok'))
  t.match(named, [/^outer > inner > not ok 1 - one is two$/, /^outer > inner > not ok 3 - three is four$/])
  t.equal(named.length, 2)
  t.match(shown, /^ +[-+]1$/m)
})

t.test('a test that failed without an assertion of its own is named', async (t) => {
  t.match(
    repeated(t, "t.test('throws', async () => { throw new Error('on the way') })"),
    /throws > not ok 1 - on the way/,
  )
})
