import t from 'tap'
import { createServerSet, type HeldServer, type ServerSet } from '../../../src/proxy-agent/core/server-set.ts'

const limits = { baseMs: 1_000, capMs: 10_000 }
const server = (serverId: string): HeldServer => ({ serverId })
const set = (): ServerSet<HeldServer> => createServerSet<HeldServer>(limits)

t.test('wants one server before it knows of any', async (t) => {
  const servers = set()
  t.ok(servers.wants())
  t.equal(servers.knownCount(), 1)
  t.strictSame(servers.all(), [])
})

t.test('wants as many as the last new server said there are', async (t) => {
  const servers = set()
  t.equal(servers.connected(server('a'), 2), 'kept')
  t.ok(servers.wants())
  t.equal(servers.connected(server('b'), 3), 'kept')
  t.ok(servers.wants())
  t.equal(servers.connected(server('c'), 3), 'kept')
  t.notOk(servers.wants())
  t.equal(servers.knownCount(), 3)
})

t.test('takes a count of nothing for one', async (t) => {
  for (const count of [0, -1, Number.MIN_SAFE_INTEGER]) {
    const servers = set()
    servers.connected(server('a'), count)
    t.equal(servers.knownCount(), 1)
    t.notOk(servers.wants())
  }
})

t.test('holds as many as another source makes of what servers reported', async (t) => {
  let leases = 0
  const asked: number[] = []
  const servers = createServerSet<HeldServer>(limits, (reportedCount) => {
    asked.push(reportedCount)
    return leases
  })
  t.equal(servers.knownCount(), 1, 'never none')
  servers.connected(server('a'), 3)
  t.notOk(servers.wants())
  leases = 2
  t.ok(servers.wants(), 'asked each time')
  servers.connected(server('b'), 0)
  t.notOk(servers.wants())
  t.strictSame([...new Set(asked)], [0, 3], 'a count of nothing is not reported')
})

t.test('keeps those it has when there are fewer than it holds', async (t) => {
  const servers = set()
  const [a, b] = [server('a'), server('b')]
  servers.connected(a, 2)
  servers.connected(b, 1)
  t.notOk(servers.wants())
  t.strictSame(servers.all(), [a, b])
})

t.test('keeps the old one when a server answers twice, and believes nothing the new one says', async (t) => {
  const servers = set()
  const [old, duplicate] = [server('a'), server('a')]
  servers.connected(old, 2)
  t.equal(servers.connected(duplicate, 9), 'duplicate')
  t.strictSame(servers.all(), [old])
  t.equal(servers.knownCount(), 2)
})

t.test('the end of a duplicate, in whatever way, leaves the one that was kept', async (t) => {
  const servers = set()
  const [old, duplicate] = [server('a'), server('a')]
  servers.connected(old, 1)
  servers.connected(duplicate, 1)
  servers.leaving(duplicate, 0)
  servers.gone(duplicate)
  t.strictSame(servers.all(), [old])
  t.notOk(servers.wants())
  t.equal(servers.waitMs(0), 1_000, 'nothing was lost: no back-off')
})

t.test('wants another one as soon as one says that it leaves, and counts that one until it is gone', async (t) => {
  const servers = set()
  const a = server('a')
  servers.connected(a, 1)
  servers.leaving(a, 0)
  t.ok(servers.wants())
  t.strictSame(servers.all(), [a])
  t.equal(servers.leaving(a, 0), undefined, 'saying it twice changes nothing')
  t.strictSame(servers.all(), [a])
  servers.gone(a)
  t.strictSame(servers.all(), [])
  t.equal(servers.waitMs(0), 1_000, 'it left in good order: no back-off')
})

t.test('a server that leaves may be held anew under its id, and its end does not touch the new one', async (t) => {
  const servers = set()
  const [leaving, anew] = [server('a'), server('a')]
  servers.connected(leaving, 1)
  servers.leaving(leaving, 0)
  t.equal(servers.connected(anew, 1), 'kept')
  t.strictSame(servers.all(), [anew, leaving])
  servers.gone(leaving)
  t.strictSame(servers.all(), [anew])
  t.notOk(servers.wants())
})

t.test('hears of the end of a server twice without harm', async (t) => {
  const servers = set()
  const [a, b] = [server('a'), server('b')]
  servers.connected(a, 2)
  servers.connected(b, 2)
  servers.gone(a)
  servers.gone(a)
  servers.leaving(a, 0)
  t.strictSame(servers.all(), [b])
})

t.test('waits the interval and up to a tenth more while all is well', async (t) => {
  const servers = set()
  t.strictSame([0, 0.5, 1].map(servers.waitMs), [1_000, 1_050, 1_100])
})

t.test('backs off with each failure, up to the cap, and starts over when a server answers', async (t) => {
  const servers = set()
  const longest = Array.from({ length: 8 }, () => {
    servers.failed()
    return servers.waitMs(1)
  })
  t.strictSame(longest, [1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000])
  servers.connected(server('a'), 1)
  t.equal(servers.waitMs(1), 1_100)
})

t.test('spreads out after the loss of a server, and does not forget failures for it', async (t) => {
  const servers = set()
  const a = server('a')
  servers.connected(a, 2)
  servers.gone(a)
  t.strictSame([servers.waitMs(0), servers.waitMs(1)], [100, 1_000])
  const b = server('b')
  servers.connected(b, 1)
  servers.failed()
  servers.failed()
  servers.gone(b)
  t.equal(servers.waitMs(1), 1_500)
})

t.test(
  'waits after a server that leaves as long as it asks for, but no longer than the longest back-off',
  async (t) => {
    const asked = [0, 2_500, 10_000, 10_001, Number.MAX_SAFE_INTEGER, -1]
    t.strictSame(
      asked.map((ms) => {
        const servers = set()
        const a = server('a')
        servers.connected(a, 1)
        return servers.leaving(a, ms)
      }),
      [0, 2_500, 10_000, 10_000, 10_000, 0],
    )
  },
)
