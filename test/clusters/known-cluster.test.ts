import { join } from 'node:path'
import t from 'tap'
import { inKnownCluster } from '../../src/clusters/known-cluster.ts'
import type { Command } from '../../src/platform/command-line.ts'
import { run } from '../platform/run-command.ts'

const plain: Command = {
  usage: 'make --cluster <id>',
  summary: 'Make something.',
  about: [],
  flags: { cluster: { takes: 'id', help: 'Its cluster.', default: 'default' } },
  examples: [],
  run: async (given, problems) =>
    problems.length > 0
      ? { kind: 'refused', problems }
      : { kind: 'done', lines: [`made in ${given.value('cluster')} by ${given.value('clusters')}`] },
}
const command = inKnownCluster(plain)

t.test('lets through a cluster that is listed, and any where no list is given', async (t) => {
  const clusters = join(t.testdir({ 'clusters.yaml': 'id: eu-1\n---\nid: eu-2\n' }), 'clusters.yaml')
  t.match(await run(command, ['--cluster=eu-2', '--clusters', clusters]), { kind: 'done', lines: [/made in eu-2/] })
  t.match(await run(command, ['--cluster=nowhere']), { kind: 'done', lines: ['made in nowhere by undefined'] })
})

t.test('refuses one that is not, the default too, and says what there is', async (t) => {
  const folder = t.testdir({ d: { 'a.yaml': 'id: eu-1\n', 'b.yaml': 'id: eu-2\n' }, empty: {} })
  const clusters = join(folder, 'd')
  t.strictSame(await run(command, ['--cluster=eu1', '--clusters', clusters]), {
    kind: 'failed',
    lines: [],
    warnings: [`${clusters}: there is no cluster eu1: did you mean eu-1?`],
  })
  t.match(await run(command, ['--clusters', clusters]), { warnings: [/no cluster default: there are eu-1, eu-2$/] })
  t.match(await run(command, ['--clusters', join(folder, 'empty')]), { warnings: [/there is none yet$/] })
  await t.rejects(run(command, ['--clusters', join(folder, 'missing')]), { code: 'bad-option' })
})

t.test('leaves the mistakes of a line to the command', async (t) => {
  t.match(await run(command, ['--clusters=/nowhere', '--colour']), { kind: 'refused', problems: [/unknown flag/] })
})
