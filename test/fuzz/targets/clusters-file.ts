/**
 * The clusters file: it is read or every mistake is told with its place; what was read leads where it says, and passes the schema that is
 * shipped; an edit changes nothing but what it is for.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import type { Cluster } from '../../../src/clusters/cluster.ts'
import { createDirectory } from '../../../src/clusters/directory.ts'
import { withDocument, withoutDocument } from '../../../src/clusters/edit.ts'
import { readClusters } from '../../../src/clusters/read.ts'
import { mutated, utf8 } from '../mutate.ts'
import { hold, type Target } from '../target.ts'
import { readAsJson, yamlPieces } from './yaml.ts'

const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../../../config/clusters.schema.json'), 'utf8'))
const isOfSchema = new Ajv({ strict: false }).compile(schema)
const pieces = [
  ...yamlPieces,
  ...utf8(
    'id: eu-3',
    'id: eu-1\n',
    '\nid: x\n',
    'limits:',
    'agents: ',
    'frontends: ',
    'policy: ',
    'rules: ',
    'socket: /run/x\n',
  ),
  ...utf8(
    '64MiB',
    'names: [DNS:a]',
    'users: [alice]\n',
    'subjects: ["CN=a"]',
    'serverNames: [x.y]',
    'addresses: [10.0.0.0/8, "::1"]',
    '- allow: {}\n',
    'bufferedBytes: ',
  ),
]

export const clustersFile: Target = {
  name: 'clusters-file',
  ending: 'yaml',
  covers: [
    'clusters/read',
    'clusters/edit',
    'clusters/schema',
    'clusters/directory',
    'platform/yaml',
    'policy/core/read-rules',
  ].map((file) => `src/${file}.ts`),
  maxMs: 400,
  kinds: ['read', 'refused'],

  make: (random, corpus) =>
    mutated(random, random.chance(5) ? Buffer.alloc(0) : random.pick(corpus), corpus, pieces, 1 + random.below(3)),

  check(bytes) {
    const text = bytes.toString()
    const result = read(text)
    const documents = readAsJson(text)
    if (!result.ok) {
      hold(result.problems.length > 0, () => 'refused without a word')
      const vague = result.problems.find((problem) => !/^(c\.yaml(:[1-9]\d*)?: |and \d+ more)/.test(problem))
      hold(vague === undefined, () => `no place: ${vague}`)
      return 'refused'
    }
    hold(
      documents?.length === result.value.length && documents.every((document) => isOfSchema(document)),
      () => 'not of the schema',
    )
    leadWhereTheySay(result.value)
    for (const cluster of result.value) removed(text, result.value, cluster)
    added(text, result.value)
    return 'read'
  },
}

const read = (text: string) => readClusters([{ path: 'c.yaml', text }])

function leadWhereTheySay(clusters: readonly Cluster[]): void {
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
    for (const range of frontends.addresses) {
      const to = directory.byAddress(range.replace(/\/.*/, '')) // another cluster may have a part of it
      hold(to !== undefined, () => `${range} of ${id} leads nowhere`)
    }
    hold(
      led.every((to) => to === id),
      () => `${id} is not where it leads`,
    )
  }
}

function removed(text: string, clusters: readonly Cluster[], { id }: Cluster): void {
  const left = withoutDocument(text, id)
  hold(left !== undefined, () => `${id} cannot be removed`)
  const others = clusters.filter((each) => each.id !== id)
  hold(left.documents === others.length, () => `${left.documents} left without ${id}`)
  const again = JSON.stringify(read(left.text))
  hold(again === JSON.stringify({ ok: true, value: others }), () => `not the same without ${id}: ${again}`)
}

function added(text: string, clusters: readonly Cluster[]): void {
  if (clusters.some(({ id }) => id === 'added')) return
  const more = read(withDocument(text, { id: 'added' }))
  const isSame = more.ok && JSON.stringify(more.value.slice(0, -1)) === JSON.stringify(clusters)
  hold(isSame && more.value.at(-1)?.id === 'added', () => `cannot be added to: ${JSON.stringify(more)}`)
}
