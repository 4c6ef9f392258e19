import t from 'tap'
import { readReplicasFile } from '../../../src/proxy-server/core/replicas-file.ts'

const read = (text: string) => readReplicasFile([{ path: 'r.yaml', text }])
function problemsOf(text: string): readonly string[] {
  const found = read(text)
  return found.ok ? [] : found.problems
}

t.test('reads what there is of each replica', async (t) => {
  const text = `
replicas:
  - {id: hub-0, serverName: HUB-0.example}
  - {id: hub-1, serverName: hub-1.example, address: "hub.example:443", workers: 4}
`
  t.strictSame(read(text), {
    ok: true,
    value: [
      { id: 'hub-0', address: '', serverName: 'hub-0.example', workers: 1 },
      { id: 'hub-1', address: 'hub.example:443', serverName: 'hub-1.example', workers: 4 },
    ],
  })
})

t.test('says what is wrong and where', async (t) => {
  const wrong: readonly [string, RegExp][] = [
    ['', /^r.yaml: expected one document with the key replicas/],
    ['a: 1', /^r.yaml: expected one document/],
    ['replicas: 1', /^r.yaml: expected one document/],
    ['{replicas: [], more: 1}', /^r.yaml: expected one document/],
    ['replicas: []\n---\nreplicas: []', /^r.yaml: expected one document/],
    ['replicas: []', /^r.yaml:1: expected at least one replica/],
    ['replicas:\n- 1', /^r.yaml:2: expected a map such as/],
    ['replicas:\n- {id: a}', /^r.yaml:2: expected a map such as/],
    ['replicas:\n- {id: 1, serverName: a}', /^r.yaml:2: expected a map such as/],
    ['replicas:\n- {id: a, serverName: a, workers: 1.5}', /^r.yaml:2: expected a map such as/],
    ['replicas:\n- {id: a, serverName: a, worker: 2}', /^r.yaml:2: expected a map such as/],
    ['replicas:\n- {id: a, serverName: a}\n- {id: b, serverName: "*"}', /^r.yaml:3: expected a DNS name/],
    ['replicas: [', /^r.yaml:1/],
    [`replicas: [${'"x",'.repeat(20_000)}]`, /^r.yaml: expected at most 65536 bytes/],
  ]
  for (const [text, problem] of wrong) t.match(read(text), { ok: false, problems: [problem] }, text.slice(0, 60))
  t.equal(problemsOf(`replicas: [${'1,'.repeat(1_000)}]`).length, 20)
  t.match(readReplicasFile([]), { ok: false })
})
