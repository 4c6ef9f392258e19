/** The set of servers where these list their replicas: so many of each, by its own name. */
import t from 'tap'
import { createServerSet, type HeldServer, type ServerSet } from '../../../src/proxy-agent/core/server-set.ts'

const limits = { baseMs: 1_000, capMs: 10_000 }
const server = (serverId: string): HeldServer => ({ serverId })
const set = (hosts = 1): ServerSet<HeldServer> => createServerSet<HeldServer>({ ...limits, hosts })
const place = (id: string, workers = 1, origin = 0) => ({ origin, id, workers })
const always = (): boolean => true

/** The hub at host 0 led to `a`, which lists a, b and c. */
function three() {
  const servers = set()
  const a = server('a')
  servers.connected(0, a, 1, 0)
  const [atA, atB, atC] = ['a', 'b', 'c'].map((id) => servers.addPlace(place(id))) as [number, number, number]
  return { servers, a, atA, atB, atC }
}

t.test('wants one of each replica, but for the one that it holds by then', async (t) => {
  const { servers, atA, atB, atC } = three()
  t.strictSame([0, atA, atB, atC].map(servers.wants), [false, false, true, true])
  t.equal(servers.knownCount(), 3)
  servers.connected(atB, server('b'), 1, 0)
  servers.connected(0, server('c'), 1, 0)
  t.strictSame([atA, atB, atC].map(servers.wants), [false, false, false], 'whichever way it was found')
})

t.test('two hosts that lead to the same replicas want each of them once', async (t) => {
  const servers = set(2)
  servers.connected(0, server('a'), 1, 0)
  servers.connected(1, server('b'), 1, 0)
  const all = [0, 1].flatMap((origin) => ['a', 'b'].map((id) => servers.addPlace(place(id, 1, origin))))
  t.strictSame(all.map(servers.wants), [false, false, false, false])
  t.equal(servers.surplus(always), undefined)
  t.equal(servers.knownCount(), 2)
})

t.test(
  'whom a list names that we do not go to may be anybody: the host is asked as ever, and nobody of it left',
  async (t) => {
    const servers = set()
    const [a, b, c] = ['a', 'b', 'c'].map(server) as [HeldServer, HeldServer, HeldServer]
    servers.connected(0, a, 3, 0)
    servers.listPartly(0, true)
    const atA = servers.addPlace(place('a'))
    t.equal(servers.knownCount(), 3)
    servers.connected(0, b, 3, 0)
    t.ok(servers.wants(0), 'three are said to be there')
    servers.connected(0, c, 3, 0)
    t.strictSame([0, atA].map(servers.wants), [false, false])
    t.equal(servers.surplus(always), undefined, 'b and c may be those that were passed over')
    t.equal(servers.knownCount(), 3)
    servers.gone(a, 0)
    t.strictSame([0, atA].map(servers.wants), [true, true])
    servers.connected(atA, server('a'), 3, 0)
    t.notOk(servers.wants(0), 'one that is held by its name is one of the three')
    servers.listPartly(0, false)
    t.equal(servers.surplus(always), b, 'the list says all again')
  },
)

t.test('workers that answered at one place of a replica are held at each', async (t) => {
  const servers = set(2)
  const [w1, w2] = [server('a-w1'), server('a-w2')]
  servers.connected(0, w1, 1, 0)
  const [at0, at1] = [0, 1].map((origin) => servers.addPlace(place('a', 2, origin))) as [number, number]
  servers.connected(at0, server('a-w1'), 1, 0)
  t.ok(servers.wants(at1))
  servers.connected(at0, w2, 1, 0)
  t.strictSame([at0, at1].map(servers.wants), [false, false])
  t.strictSame([w1, w2].map(servers.originsOf), [[0], [0]])
  servers.connected(1, server('a-w2'), 1, 0)
  t.strictSame(servers.originsOf(w2), [0, 1])
  servers.dismiss(w2)
  t.strictSame(servers.originsOf(w2), [])
})

t.test('wants its own host again when nobody is held', async (t) => {
  const { servers, a, atA, atB } = three()
  const b = server('b')
  servers.connected(atB, b, 1, 0)
  servers.gone(a, 0)
  t.strictSame([0, atA].map(servers.wants), [false, true])
  servers.gone(b, 0)
  t.strictSame([0, atA, atB].map(servers.wants), [true, true, true])
})

t.test('wants as many as a replica has workers, all found by its name', async (t) => {
  const servers = set()
  servers.connected(0, server('a-w1'), 2, 0)
  const at = servers.addPlace(place('a', 2))
  t.equal(servers.connected(at, server('a-w2'), 2, 0), 'kept')
  t.ok(servers.wants(at), 'who says that the first one is there?')
  t.equal(servers.waitMs(at, 0), 100, 'it looks on soon')
  t.equal(servers.connected(at, server('a-w1'), 2, 0), 'duplicate')
  t.notOk(servers.wants(at))
  servers.changePlace(at, place('a', 3))
  t.ok(servers.wants(at))
})

t.test('another replica that answers by the name of one is not that one', async (t) => {
  const { servers, atB } = three()
  t.equal(servers.connected(atB, server('a'), 1, 0), 'duplicate')
  t.ok(servers.wants(atB))
  t.equal(servers.connected(atB, server('new-id-of-b'), 1, 0), 'kept')
  t.notOk(servers.wants(atB), 'one that the list does not know by id may be')
})

t.test('a replica that leaves is wanted again, at its own pace', async (t) => {
  const { servers, atB } = three()
  const b = server('b')
  servers.connected(atB, b, 1, 0)
  t.equal(servers.leaving(b, 0, 60_000, 0), 0)
  t.ok(servers.wants(atB))
  servers.failed(atB)
  servers.failed(atB)
  t.strictSame([servers.waitMs(atB, 1), servers.waitMs(0, 1)], [1_500, 1_100])
})

t.test('who is of no listed replica is let go when all others are held, and not before', async (t) => {
  const { servers, a, atA, atB, atC } = three()
  servers.connected(atB, server('b'), 1, 0)
  servers.removePlace(atA)
  t.equal(servers.surplus(always), undefined, 'c is not held yet')
  servers.connected(atC, server('c'), 1, 0)
  t.equal(
    servers.surplus(() => false),
    undefined,
    'one that lists nothing is not in the way',
  )
  t.equal(servers.surplus(always), a)
  servers.dismiss(a)
  t.equal(servers.surplus(always), undefined)
  t.notOk(servers.holds(a))
  t.strictSame(servers.all().length, 3, 'it is there until it is gone')
  t.equal(servers.gone(a, 0), 'leaving')
  t.notOk(servers.wants(0))
})

t.test('without places nobody is let go', async (t) => {
  const servers = set()
  servers.connected(0, server('a'), 1, 0)
  t.equal(servers.surplus(always), undefined)
  const at = servers.addPlace(place('b'))
  servers.removePlace(at)
  t.equal(servers.surplus(always), undefined)
  t.notOk(servers.wants(at))
  servers.failed(at)
  t.equal(servers.waitMs(at, 1), 1_100, 'what still comes of it does no harm')
})

t.test('a host whose servers list nothing is as it was, beside one whose servers do', async (t) => {
  const servers = set(2)
  servers.connected(0, server('a'), 5, 0)
  servers.addPlace(place('a'))
  t.ok(servers.wants(1))
  const [x, y] = [server('x'), server('y')]
  servers.connected(1, x, 2, 0)
  t.ok(servers.wants(1), 'it counts its own')
  servers.connected(1, y, 2, 0)
  t.notOk(servers.wants(1))
  t.equal(servers.knownCount(), 3)
  t.equal(servers.surplus(always), undefined)
})
