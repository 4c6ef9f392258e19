import { readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import { createAuditMetrics, openAudit } from '../../src/audit/open-audit.ts'
import { readVersion } from '../../src/platform/version.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { verdictOn } from './chains.ts'

t.test('without a path there is neither a log nor a metric', async (t) => {
  const registry = new Registry()
  t.equal(openAudit('', { clock: manualClock(), log: recordedLog(), program: 'proxy-test' }), undefined)
  createAuditMetrics(registry, 'culvert_test_', undefined)
  t.equal((await registry.metrics()).trim(), '')
})

t.test('writes a whole chain under the program’s name, goes on after a signal, and counts', async (t) => {
  const path = join(t.testdir(), 'audit.log')
  const registry = new Registry()
  const log = recordedLog()
  const audit = openAudit(path, { clock: manualClock(), log, program: 'proxy-test' })
  if (!audit) throw new Error('there is a path')
  createAuditMetrics(registry, 'culvert_test_', audit)
  audit.begin()
  audit.record({ event: 'dial', destination: '10.0.0.1:443' })
  await eventually('the line is written', () => audit.state().written === 2, Boolean)
  renameSync(path, `${path}.1`)
  audit.reopen()
  await eventually(
    'the new file is there',
    () => log.messages('info'),
    ({ length }) => length === 1,
  )
  audit.record({ event: 'dial', destination: '10.0.0.2:443' })
  await audit[Symbol.asyncDispose]()
  const [before, after] = [readFileSync(`${path}.1`), readFileSync(path)]
  t.match(JSON.parse(before.toString().split('\n')[0]!), { program: 'proxy-test', version: readVersion() })
  t.match(verdictOn([before, after]), { problems: [], notes: [] })
  t.match(after.toString(), '10.0.0.2')
  const metrics = await registry.metrics()
  t.match(metrics, new RegExp(`^culvert_test_audit_lines_total ${audit.state().written}$`, 'm'))
  t.match(metrics, /^culvert_test_audit_lost_lines_total 0$/m)
  t.match(metrics, /^culvert_test_audit_alarm 0$/m)
})
