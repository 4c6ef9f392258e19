import t from 'tap'
import { asDocument, explain } from '../../src/clusters/explain.ts'
import { readClusters } from '../../src/clusters/read.ts'
import { cluster } from './cluster.ts'

const POLICY = 'id: a\npolicy: {rules: [{allow: {cidr: 10.0.0.1, ports: 443}, from: user/bob}, {deny: {name: db}}]}\n'
const read = (text: string) => {
  const result = readClusters([{ path: 'c.yaml', text }])
  if (!result.ok) throw new Error(result.problems.join('\n'))
  return result.value[0]!
}

t.test('says what clients of a cluster may have dialled', async (t) => {
  const said = explain(read(POLICY)).join('\n')
  const rules = ['allow 10.0.0.1/32 ports 443 from user/bob', 'deny db', 'and nothing else']
  t.match(said, ['  clients may have dialled', ...rules.map((rule) => `    ${rule}`)].join('\n'))
  t.match(explain(cluster('b')).join('\n'), /clients may have dialled\n {4}what its agents allow\n/)
})

t.test('says where its clients alone come from, if anything is known of that', async (t) => {
  const said = explain(cluster('a', { frontends: { addresses: ['192.0.2.0/24'] } })).join('\n')
  t.match(said, '  clients alone come from\n    192.0.2.0/24\n  clients may have dialled')
  t.notMatch(explain(cluster('b')).join('\n'), 'come from')
})

t.test('is shown as a document that reads back as itself', async (t) => {
  const shown = asDocument(read(POLICY))
  t.match(shown, {
    policy: { rules: [{ allow: { cidr: ['10.0.0.1/32'], ports: ['443'] }, from: ['user/bob'] }, { deny: {} }] },
  })
  t.strictSame(read(JSON.stringify(shown)), read(POLICY))
  t.notOk('policy' in asDocument(cluster('b')))
})
