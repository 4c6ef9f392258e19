/** Clusters on disk, as far as `culvert clusters` does not show them: test/cli/clusters.test.ts. */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { addCluster, loadClusters, removeCluster } from '../../src/clusters/files.ts'
import { MAX_CLUSTERS_BYTES } from '../../src/clusters/read.ts'

const idsOf = (path: string): string[] => loadClusters(path).map(({ id }) => id)

t.test('loads one file, or all of a folder by name, and says what it passes over', async (t) => {
  const folder = t.testdir({ 'b.yaml': 'id: b\n', 'a.json': '{"id": "a"}', 'c.YAML': 'id: c\n', 'README.md': '#' })
  const told: string[] = []
  t.strictSame(
    loadClusters(folder, (paths) => told.push(...paths)).map(({ id }) => id),
    ['a', 'b'],
  )
  t.strictSame(told, [join(folder, 'c.YAML')])
  t.strictSame(idsOf(join(folder, 'c.YAML')), ['c'])
})

t.test('loads as much as a server does, and no more', async (t) => {
  const fill = (bytes: number): string => `id: a\n#${'x'.repeat(bytes - 7)}`
  const folder = t.testdir({ 'a.yaml': fill(MAX_CLUSTERS_BYTES) })
  t.strictSame(idsOf(folder), ['a'])
  writeFileSync(join(folder, 'b.yaml'), '#')
  t.throws(() => loadClusters(folder), { code: 'bad-option', message: /^--clusters: .*b\.yaml: it is over the limit/ })
  t.throws(() => loadClusters(join(folder, 'none')), { code: 'bad-option', message: /^--clusters: .*no such file$/ })
})

t.test('adds to a new file, which others may read, and to the file of that name in a folder', async (t) => {
  const folder = t.testdir({ d: { 'eu-2.yaml': 'id: other' } })
  const file = join(folder, 'new.yaml')
  t.equal(addCluster(file, { id: 'eu-1' }), file)
  t.equal(statSync(file).mode & 0o777, 0o644 & ~process.umask())
  const inFolder = join(folder, 'd')
  t.equal(addCluster(`${inFolder}/`, { id: 'eu-2' }), join(inFolder, 'eu-2.yaml'))
  t.equal(readFileSync(join(inFolder, 'eu-2.yaml'), 'utf8'), 'id: other\n---\nid: eu-2\n')
})

t.test('changes nothing beside what is broken, nor where all would be too much', async (t) => {
  const folder = t.testdir({ 'a.yaml': 'id: a\n', 'b.yaml': 'id: B\n' })
  t.throws(() => addCluster(folder, { id: 'c' }), { code: 'bad-option', message: /b\.yaml:1: id: expected/ })
  t.throws(() => removeCluster(folder, 'a'), { code: 'bad-option', message: /b\.yaml:1: id: expected/ })
  t.strictSame(readdirSync(folder).sort(), ['a.yaml', 'b.yaml'])
  t.equal(readFileSync(join(folder, 'a.yaml'), 'utf8'), 'id: a\n')
})

t.test('leaves nothing beside a place that cannot be written to', async (t) => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'eu-1.yaml'))
  t.throws(() => addCluster(folder, { id: 'eu-1' }), { code: 'bad-option', message: /eu-1\.yaml: cannot be written: / })
  t.strictSame(readdirSync(folder), ['eu-1.yaml'])
})

t.test('removes the file of a folder with its last cluster, and no file that was named', async (t) => {
  const folder = t.testdir({ 'a.yaml': 'id: a\n', 'two.yaml': 'id: b\n---\nid: c\n' })
  const two = join(folder, 'two.yaml')
  t.equal(removeCluster(folder, 'a'), join(folder, 'a.yaml'))
  t.equal(removeCluster(folder, 'b'), two)
  t.strictSame(readdirSync(folder), ['two.yaml'])
  t.equal(removeCluster(two, 'c'), two)
  t.strictSame(idsOf(two), [])
  t.throws(() => removeCluster(two, 'c'), { code: 'bad-option', message: `${two}: there is no cluster c` })
})
