import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writePortsFile } from '../../src/platform/ports-file.ts'

t.test('says which ports were bound until it is disposed of', async (t) => {
  const folder = t.testdir({ 'ports.json': 'of an earlier run, which was killed' })
  const path = join(folder, 'ports.json')
  const file = writePortsFile(path, { agent: 40_001, health: 40_002 })
  t.equal(readFileSync(path, 'utf8'), '{"agent":40001,"health":40002}\n')
  t.strictSame(readdirSync(folder), ['ports.json'], 'nothing is left beside it')
  file[Symbol.dispose]()
  t.strictSame(readdirSync(folder), [])
  t.doesNotThrow(() => file[Symbol.dispose](), 'also when somebody else has removed it')
})

t.test('says by its flag that it cannot be written, and leaves nothing behind', async (t) => {
  const folder = t.testdir({ taken: {} })
  t.throws(() => writePortsFile(join(folder, 'missing', 'ports.json'), {}), {
    code: 'bad-option',
    message: /^--ports-file: could not write .*missing.ports\.json: ENOENT/,
    cause: { code: 'ENOENT' },
  })
  t.throws(() => writePortsFile(join(folder, 'taken'), {}), { code: 'bad-option' })
  t.strictSame(readdirSync(folder), ['taken'])
})
