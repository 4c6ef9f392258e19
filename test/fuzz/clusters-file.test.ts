/**
 * The clusters file from whatever text: it is read or every mistake is told, without an exception; what was read leads where it says; and
 * an edit changes nothing but what it is for. A failing round prints its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import t from 'tap'
import { createDirectory } from '../../src/clusters/directory.ts'
import { withDocument, withoutDocument } from '../../src/clusters/edit.ts'
import { readClusters } from '../../src/clusters/read.ts'
import { createRandom, type Random } from '../platform/random.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 1_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)

const file = `# of the hub
id: eu-1
agents: {subjects: ["O=x, CN=a"], names: [DNS:A.example], users: [u]}
frontends:
  users: [alice] # both
  serverNames: [eu-1.hub.example]
  socket: /run/eu-1.sock
limits: {agents: 3, bufferedBytes: 2MiB}
---
# the second
id: "eu-2"
frontends: {users: [alice], names: [URI:spiffe://b/c]}
`
const pieces = [
  ...[
    '\n---\n',
    '---\n',
    '...\n',
    '\n',
    ' ',
    '  ',
    '# c\n',
    'id: eu-3',
    'id: eu-1\n',
    '\nid: x\n',
    'limits:',
    ': ',
    '- ',
  ],
  ...[
    '&a ',
    '*a',
    '<<: ',
    '!t ',
    '!!str ',
    '? ',
    '%YAML 1.2\n',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '|\n',
    '>-\n',
    ',',
    '\t',
    '\0',
  ],
  ...[
    '1e9',
    '-1',
    '0',
    '~',
    'null',
    'true',
    '64MiB',
    '__proto__: 1\n',
    'constructor',
    '\ud800',
    '\u2028',
    '/',
    '\r\n',
    '[[[[[[[[',
  ],
]

function mutated(random: Random): string {
  let text = random.chance(10) ? '' : file
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = random.below(text.length + 1)
    const dropped = random.chance(40) ? random.below(30) : 0
    text = text.slice(0, at) + (random.chance(80) ? random.pick(pieces) : '') + text.slice(at + dropped)
  }
  return text
}

const read = (text: string) => readClusters([{ path: 'c.yaml', text }])

function fault(text: string): string | undefined {
  const result = read(text)
  if (!result.ok) {
    const vague = result.problems.find((problem) => !/^(c\.yaml(:\d+)?: |and \d+ more)/.test(problem))
    return result.problems.length === 0 ? 'refused without a word' : vague && `no place: ${vague}`
  }
  const clusters = result.value
  const directory = createDirectory(clusters)
  for (const { id, agents, frontends } of clusters) {
    const led = [
      ...agents.subjects.map((subject) => directory.bySubject('agents', subject)),
      ...agents.names.map((name) => directory.byName('agents', name)),
      ...agents.users.map(directory.byAgentUser),
      ...frontends.subjects.map((subject) => directory.bySubject('frontends', subject)),
      ...frontends.names.map((name) => directory.byName('frontends', name)),
      ...frontends.serverNames.map(directory.byServerName),
    ]
    if (led.some((to) => to !== id)) return `${id} is not where it leads`
    const left = withoutDocument(text, id)
    if (!left) return `${id} cannot be removed`
    const others = clusters.filter((each) => each.id !== id)
    if (left.documents !== others.length) return `${left.documents} left without ${id}`
    if (JSON.stringify(read(left.text)) !== JSON.stringify({ ok: true, value: others }))
      return `not the same without ${id}`
  }
  const more = read(withDocument(text, { id: 'added' }))
  if (clusters.some(({ id }) => id === 'added')) return undefined
  if (!more.ok || more.value.length !== clusters.length + 1) return `cannot be added to: ${JSON.stringify(more)}`
  return undefined
}

t.test('whatever the text, the answer is one', async (t) => {
  let good = 0
  for (let round = 0; round < ROUNDS; round++) {
    const text = mutated(createRandom(SEED + round))
    if (read(text).ok) good++
    const found = fault(text)
    if (found !== undefined) t.fail(`seed ${SEED + round}: ${found}\n${JSON.stringify(text)}`)
  }
  t.ok(good > ROUNDS / 20, `${good} of ${ROUNDS} are good: they are looked at as well`)
})
