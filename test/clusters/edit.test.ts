import t from 'tap'
import { withDocument, withoutDocument } from '../../src/clusters/edit.ts'

const TEXT = `# of the hub
id: a # the first
agents: { users:   [u] }
---
# the second
'id': "b"
---
id: c
`

t.test('adds a document behind what is there, which stays byte for byte', async (t) => {
  t.equal(withDocument('', { id: 'a' }), 'id: a\n')
  t.equal(withDocument('# mine\n', { id: 'a' }), '# mine\n---\nid: a\n')
  t.equal(withDocument(TEXT, { id: 'd', limits: { agents: 2 } }), `${TEXT}---\nid: d\nlimits:\n  agents: 2\n`)
  t.equal(withDocument('id: a', { id: 'b' }), 'id: a\n---\nid: b\n')
})

t.test('quotes what would be something else', async (t) => {
  t.equal(
    withDocument('', { id: '007', agents: { users: ['true', 'a: b'] } }),
    'id: "007"\nagents:\n  users:\n    - "true"\n    - "a: b"\n',
  )
})

t.test('removes one document and leaves the others as they are', async (t) => {
  const without = (id: string, text = TEXT) => withoutDocument(text, id)?.text
  t.equal(without('a'), `# of the hub\n---\n# the second\n'id': "b"\n---\nid: c\n`)
  t.equal(without('b'), '# of the hub\nid: a # the first\nagents: { users:   [u] }\n---\nid: c\n')
  t.equal(without('c'), TEXT.slice(0, TEXT.lastIndexOf('---')))
  t.equal(without('b', '%YAML 1.2\n---\nid: a\n...\n---\nid: b\n'), '%YAML 1.2\n---\nid: a\n...\n')
})

t.test('says when there is none, and when none is left', async (t) => {
  t.equal(withoutDocument(TEXT, 'd'), undefined)
  t.strictSame(withoutDocument('# only\nid: a\n', 'a'), { text: '# only\n', documents: 0 })
  t.strictSame(withoutDocument('---\nid: a\n---\nid: b\n', 'a'), { text: 'id: b\n', documents: 1 })
})
