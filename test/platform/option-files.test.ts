import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fileRule, noSuchFile } from '../../src/platform/option-files.ts'
import { file, text } from '../../src/platform/option-types.ts'
import { readOptions } from '../../src/platform/options.ts'

const table = {
  serverCert: file({ default: '', help: 'Certificate.' }),
  serverKey: file({ default: '', help: 'Key.' }),
  portsFile: text({ default: '', help: 'Written, so it need not exist.' }),
}
const rules = [
  fileRule(table, 'serverCert'),
  fileRule(table, 'serverKey', (path) => `error checking server key ${path}, got ${noSuchFile(path)}`),
]
const read = (...argv: string[]) => readOptions(table, argv, rules)

t.test('accepts files that can be read, and flags that name none', async (t) => {
  const cert = join(t.testdir(), 'cert.pem')
  writeFileSync(cert, '')
  t.match(read(`--server-cert=${cert}`, '--ports-file=nowhere/ports.json'), { ok: true })
})

t.test('reports every file that is missing or is none, with its flag', async (t) => {
  const folder = t.testdir()
  t.strictSame(read(`--server-cert=${join(folder, 'cert.pem')}`, `--server-key=${folder}`), {
    ok: false,
    misread: [],
    problems: [
      `--server-cert: expected a file that can be read, got ${join(folder, 'cert.pem')}: there is no such file`,
      `--server-key: expected a file that can be read, got ${folder}: it is no regular file`,
    ],
  })
})

t.test('says in words of the caller’s that a file is missing, and only that', async (t) => {
  const path = join(t.testdir({ folder: {} }), 'folder')
  t.match(read(`--server-key=${path}.pem`), {
    problems: [`error checking server key ${path}.pem, got stat ${path}.pem: no such file or directory`],
  })
  t.match(read(`--server-key=${path}`), { problems: [/^--server-key: .*no regular file$/] })
})

t.test('names the system’s reason for what else is wrong', async (t) => {
  const path = join(t.testdir({ cert: '' }), 'cert', 'below')
  t.match(read(`--server-cert=${path}`), { problems: [/: ENOTDIR$/] })
})

t.test('is not held up by a pipe that nobody writes to', async (t) => {
  const pipe = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', [pipe])
  t.match(read(`--server-cert=${pipe}`), { problems: [/: it is no regular file$/] })
})
