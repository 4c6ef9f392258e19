import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import type { ServerOptions } from '../../src/proxy-server/options.ts'
import { openTenants } from '../../src/proxy-server/tenants.ts'
import { createBudget, spend } from '../../src/tunnel/budget.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const LOOK_MS = 2_000

t.test(
  'a cluster that is removed leaves nothing in the budget of the process, once its bytes are given back',
  async (t) => {
    const clusters = join(t.testdir({ 'c.yaml': 'id: a\n---\nid: b\n' }), 'c.yaml')
    const clock = manualClock()
    const processBudget = createBudget(1_000)
    using tenants = openTenants({ clusters, workers: 1 } as ServerOptions, {
      clock,
      log: recordedLog(),
      registry: new Registry(),
      processBudget,
      connections: () => 0,
    })
    const { budget } = tenants.get('b')!
    const change = (text: string): void => {
      writeFileSync(clusters, text)
      clock.advance(LOOK_MS)
      clock.advance(LOOK_MS)
    }
    spend(budget, 10)
    change('id: a\n')
    t.equal(tenants.get('b'), undefined)
    t.ok(processBudget.children.has(budget), 'its last bytes are still there')
    spend(budget, -10)
    t.equal(processBudget.children.size, 1)
    for (let time = 0; time < 3; time++) {
      change('id: a\n---\nid: b\n')
      t.equal(processBudget.children.size, 2)
      change('id: a\n')
      t.equal(processBudget.children.size, 1)
    }
  },
)

t.test('begins with what others have in use where the file is broken, or has no clusters any more', async (t) => {
  for (const broken of ['id: EU\n', '']) {
    const clusters = join(t.testdir({ 'c.yaml': broken }), 'c.yaml')
    const clock = manualClock()
    const log = recordedLog()
    const registry = new Registry()
    const deps = { clock, log, registry, processBudget: createBudget(1_000), connections: () => 0 }
    const inUse = [{ path: clusters, text: 'id: a\n' }]
    using tenants = openTenants({ clusters, workers: 1 } as ServerOptions, { ...deps, inUse })
    t.ok(tenants.get('a'))
    clock.advance(LOOK_MS)
    clock.advance(LOOK_MS)
    t.match(log.lines, [{ message: 'clusters are broken, the ones before stay in use' }])
    t.match(await registry.metrics(), 'culvert_server_clusters_broken 1')
    writeFileSync(clusters, 'id: b\n')
    clock.advance(LOOK_MS)
    clock.advance(LOOK_MS)
    t.same([tenants.get('a'), tenants.get('b')?.id], [undefined, 'b'])
    t.match(await registry.metrics(), 'culvert_server_clusters_broken 0')
  }
})

t.test('does not begin with a broken file, nor with what is broken itself', async (t) => {
  const clusters = join(t.testdir({ 'c.yaml': 'id: EU\n' }), 'c.yaml')
  const deps = { clock: manualClock(), log: recordedLog(), processBudget: createBudget(1_000), connections: () => 0 }
  const open = (text?: string): void => {
    const inUse = text === undefined ? undefined : [{ path: clusters, text }]
    openTenants({ clusters, workers: 1 } as ServerOptions, { ...deps, registry: new Registry(), inUse })
  }
  for (const text of [undefined, 'id: XX\n']) t.throws(() => open(text), { code: 'bad-option', message: /c\.yaml:1/ })
})

t.test('warns once of a file of the folder that its name keeps out, and again when it has been away', async (t) => {
  const clusters = t.testdir({ 'a.yaml': 'id: a\n' })
  const ignored = join(clusters, 'C.YAML')
  const [clock, log] = [manualClock(), recordedLog()]
  const deps = { clock, log, registry: new Registry(), processBudget: createBudget(1_000), connections: () => 0 }
  using tenants = openTenants({ clusters, workers: 1 } as ServerOptions, deps)
  const warned = (count: number): void => {
    clock.advance(LOOK_MS)
    clock.advance(LOOK_MS)
    t.equal(log.messages('warn').length, count)
  }
  warned(0)
  writeFileSync(ignored, 'id: c\n')
  warned(1)
  const message = 'file of --clusters is ignored: its name must end in .yaml, .yml or .json, in lower case'
  t.match(log.lines.at(-1), { level: 'warn', message, fields: { path: ignored } })
  t.equal(tenants.get('c'), undefined)
  rmSync(ignored)
  warned(1)
  writeFileSync(ignored, 'id: c\n')
  warned(2)
})
