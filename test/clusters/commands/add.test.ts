import { readFileSync } from 'node:fs'
import t from 'tap'
import { add } from '../../../src/clusters/commands/add.ts'
import { problemsOf, run } from '../../platform/run-command.ts'
import { clustersIn, TWO } from './commands.ts'

t.test('appends what was given and nothing else', async (t) => {
  const flag = clustersIn(t, TWO)
  const path = flag.slice('--clusters='.length)
  t.match(
    await run(add, ['eu-3', flag, '--agent-name=DNS:a.example', '--address=10.0.0.0/8', '--limit=bufferedBytes=8MiB']),
    {
      kind: 'done',
      lines: [`Added cluster eu-3 to ${path}.`],
    },
  )
  t.equal(
    readFileSync(path, 'utf8'),
    `${TWO}---\nid: eu-3\nagents:\n  names:\n    - DNS:a.example\nfrontends:\n  addresses:\n    - 10.0.0.0/8\nlimits:\n  bufferedBytes: 8MiB\n`,
  )
})

t.test('refuses what a server would, and leaves the file as it is', async (t) => {
  const flag = clustersIn(t, TWO)
  t.match(await problemsOf(add, flag), [/^name the cluster to add$/])
  t.match(await problemsOf(add, 'Eu_3', flag), [String])
  t.match(await problemsOf(add, 'eu-3', flag, '--limit=wishes=3'), [/--limit: expected one of .*bufferedBytes/])
  await t.rejects(run(add, ['eu-2', flag]), { code: 'bad-option' })
  await t.rejects(run(add, ['eu-3', flag, '--server-name=eu-2.hub.example']), { code: 'bad-option' })
  await t.rejects(run(add, ['eu-3', flag, '--address=10.0.0.1/8']), { code: 'bad-option' })
  t.equal(readFileSync(flag.slice('--clusters='.length), 'utf8'), TWO)
})

t.test('says that a folder is missing', async (t) => {
  const folder = t.testdir()
  await t.rejects(run(add, ['eu-1', `--clusters=${folder}/new.d/`]), {
    code: 'bad-option',
    message: `${folder}/new.d/: there is no such folder: make it first`,
  })
  await t.rejects(run(add, ['eu-1', `--clusters=${folder}/new.d/all.yaml`]), {
    code: 'bad-option',
    message: `${folder}/new.d/all.yaml: cannot be written: there is no folder ${folder}/new.d`,
  })
  const flag = clustersIn(t, TWO)
  await t.rejects(run(add, ['eu-1', `${flag}/all.yaml`]), { message: /cannot be written: not a directory$/ })
})
