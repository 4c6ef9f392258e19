/** The samples of policies, as the programs that take them read them, and as their own comments say that they are tried. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ipBytes } from '../../src/platform/ip-address.ts'
import { authorise } from '../../src/policy/core/authorise.ts'
import { judge } from '../../src/policy/core/rules.ts'
import { openPolicy, type Policy } from '../../src/policy/policy.ts'

const CONFIG = join(import.meta.dirname, '../../config')

function sample(file: string, of: 'agent' | 'hub'): Policy {
  const read = openPolicy('--policy-file', join(CONFIG, file), of)
  if (!read.ok) throw new Error(read.problems.join('\n'))
  return read.policy
}

t.test('the sample of an agent lets be dialled what its comments say', async (t) => {
  const { rules } = sample('policy.yaml', 'agent')
  const kind = (ip: string, port: number, name?: string) => judge(rules, { address: ipBytes(ip), port, name }).kind
  t.equal(kind('10.96.0.1', 443), 'allowed')
  t.equal(kind('10.0.3.4', 10250), 'allowed')
  t.equal(kind('fd00:10::7', 10250), 'allowed')
  t.equal(kind('10.5.0.1', 9090, 'a.monitoring.svc.cluster.local'), 'allowed')
  t.equal(kind('10.5.0.1', 9090), 'denied')
  t.equal(kind('10.0.3.4', 22), 'denied')
  t.equal(kind('10.0.99.1', 10250), 'denied')
  t.equal(kind('10.0.99.1', 9090, 'a.monitoring.svc.cluster.local'), 'denied')
})

t.test('the sample of a hub lets each client have what its comments say', async (t) => {
  const { rules } = sample('agent-policy.yaml', 'hub')
  t.notOk(openPolicy('--policy-file', join(CONFIG, 'agent-policy.yaml'), 'agent').ok, 'it says who asks')
  const kind = (who: string, address: string) => authorise(rules, who, address).kind
  for (const who of ['cluster/default/apiserver', 'unix-socket']) {
    t.equal(kind(who, '10.0.0.7:10250'), 'allowed')
    t.equal(kind(who, '10.0.99.7:10250'), 'denied')
  }
  t.equal(kind('user/prometheus', '10.0.0.7:10250'), 'denied')
  t.equal(kind('user/prometheus', 'a.monitoring.svc.cluster.local:9090'), 'by-address')
  t.equal(kind('user/other', 'a.monitoring.svc.cluster.local:9090'), 'denied')
})

for (const file of ['policy.yaml', 'agent-policy.yaml']) {
  t.test(`${file} is checked and tried by the commands that it names`, async (t) => {
    const text = readFileSync(join(CONFIG, file), 'utf8')
    const commands = [...text.matchAll(/^# (?:Checked|Tried) by: culvert (.*)$/gm)].map(([, words = '']) => words)
    t.equal(commands.length, 2)
    for (const words of commands) {
      const args = [join(import.meta.dirname, '../../src/cli/culvert.ts'), ...words.split(' ')]
      const { status, stdout } = spawnSync(process.execPath, args, { cwd: CONFIG, encoding: 'utf8' })
      t.ok(stdout.length > 0, words)
      t.equal(status, words.includes('prometheus') ? 1 : 0, words)
    }
  })
}
