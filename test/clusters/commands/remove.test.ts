import { readFileSync } from 'node:fs'
import t from 'tap'
import { remove } from '../../../src/clusters/commands/remove.ts'
import { problemsOf, run } from '../../platform/run-command.ts'
import { clustersIn, TWO } from './commands.ts'

t.test('takes one document away and leaves the others as they are', async (t) => {
  const flag = clustersIn(t, TWO)
  const path = flag.slice('--clusters='.length)
  t.match(await run(remove, ['eu-1', flag]), { kind: 'done', lines: [`Removed cluster eu-1 from ${path}.`] })
  t.equal(readFileSync(path, 'utf8'), TWO.slice(TWO.indexOf('id: eu-2')))
  await t.rejects(run(remove, ['eu-1', flag]), { code: 'bad-option' })
})

t.test('takes one cluster', async (t) => {
  t.strictSame(await problemsOf(remove), ['name the cluster to remove'])
  t.strictSame(await problemsOf(remove, 'eu-1', 'eu-2'), ['"eu-2": unexpected; remove takes one cluster'])
})
