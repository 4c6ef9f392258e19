import t from 'tap'
import { ownProblem } from '../../../src/proxy-server/core/own-replica.ts'

const replica = (id: string, workers = 1) => ({ id, address: '', serverName: `${id}.example`, workers })

t.test('a list that says of a server what it is has no problem', async (t) => {
  t.equal(ownProblem([replica('hub-0'), replica('hub-1', 2)], { id: 'hub-1', workers: 2 }), undefined)
})

t.test('says that a server is not listed, or with other workers than it has, and what comes of it', async (t) => {
  const problem = (list: ReturnType<typeof replica>[]): string => ownProblem(list, { id: 'hub-0', workers: 2 }) ?? ''
  t.match(problem([replica('hub-1')]), /--server-id of this server, hub-0: agents leave it/)
  t.match(problem([replica('hub-0', 4)]), /is 4, .*--workers=2: agents ask for the others without end/)
  t.match(problem([replica('hub-0', 1)]), /is 1, .*--workers=2: agents may hold no stream to some/)
})
