/** klog's flags for files: what the programs log goes where they say, and a file that fails takes no program with it. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { launch } from './program.ts'

const pki = await makePki(t)
const file = (name: string): string => join(pki.folder, name)
const agent = ['--health-server-port=0', '--admin-server-port=0', `--ca-cert=${pki.caFile}`, '--proxy-server-port=1']
const messagesIn = (path: string): string[] => {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []
  return lines.map((line) => JSON.parse(line).msg)
}

t.test('--log-file has the log with --logtostderr=false, and standard error has nothing', async (t) => {
  const path = file('agent.log')
  const program = launch(t, { name: 'proxy-agent', flags: [...agent, '--logtostderr=false', `--log-file=${path}`] })
  await eventually(
    'a failure in the log',
    () => messagesIn(path),
    (messages) => messages.includes('could not connect'),
  )
  program.signal('SIGTERM')
  t.strictSame(await program.ended, { code: 0, signal: null })
  const messages = messagesIn(path)
  t.ok(messages.indexOf('running') < messages.indexOf('could not connect'))
  t.equal(messages.at(-1), 'stopped')
  t.strictSame([program.log, program.lines], [[], []])
})

t.test('--log-dir has it under the name of the program, and --alsologtostderr brings it to both', async (t) => {
  const folder = file('logs')
  mkdirSync(folder)
  const program = launch(t, {
    name: 'proxy-agent',
    flags: [...agent, '--logtostderr=false', `--log-dir=${folder}`, '--alsologtostderr'],
  })
  await program.logged('running')
  t.ok(messagesIn(join(folder, 'proxy-agent.INFO')).includes('running'))
})

t.test('a log file that cannot be written is said once, and the log is on standard error', async (t) => {
  for (const path of ['/dev/full', file('no/such/folder/agent.log')]) {
    const program = launch(t, { name: 'proxy-agent', flags: [...agent, '--logtostderr=false', `--log-file=${path}`] })
    await program.logged('could not connect', 2)
    const failures = program.log.filter(({ msg }) => msg.startsWith('the log file cannot be written'))
    t.match(failures, [{ level: 'warn', reason: /^E(NOSPC|NOENT)$/ }])
    t.ok(program.log.some(({ msg }) => msg === 'running'))
  }
})

t.test('--logtostderr=false that names no file leaves the log where it is, and says so', async (t) => {
  const program = launch(t, { name: 'proxy-agent', flags: [...agent, '--logtostderr=false'] })
  await program.logged('running')
  t.match(program.log, [{ level: 'warn', msg: /without --log-file or --log-dir/ }])
})
