import t from 'tap'
import {
  createServerSet,
  type HeldServer,
  type ServerSet,
  type ServerSetOptions,
} from '../../../src/proxy-agent/core/server-set.ts'

const limits = { baseMs: 1_000, capMs: 10_000 }
const server = (serverId: string): HeldServer => ({ serverId })
const set = (options: Partial<ServerSetOptions> = {}): ServerSet<HeldServer> =>
  createServerSet<HeldServer>({ ...limits, hosts: 1, ...options })
/** Long enough for a server to count as one that stays. */
const LATER_MS = limits.capMs
/** The longest wait of a host, which is its ceiling. */
const ceilings = (servers: ServerSet<HeldServer>, hosts: readonly number[]): number[] =>
  hosts.map((host) => servers.waitMs(host, 1))
const ids = (servers: ServerSet<HeldServer>): string[] => servers.all().map(({ serverId }) => serverId)

t.test('wants one server before it knows of any', async (t) => {
  const servers = set()
  t.ok(servers.wants(0))
  t.equal(servers.knownCount(), 1)
  t.strictSame(servers.all(), [])
})

t.test('wants as many as the last new server said there are', async (t) => {
  const servers = set()
  t.equal(servers.connected(0, server('a'), 2, 0), 'kept')
  t.ok(servers.wants(0))
  t.equal(servers.connected(0, server('b'), 3, 0), 'kept')
  t.ok(servers.wants(0))
  t.equal(servers.connected(0, server('c'), 3, 0), 'kept')
  t.notOk(servers.wants(0))
  t.equal(servers.knownCount(), 3)
})

t.test('takes a count of nothing for one, and no count for more than there can be', async (t) => {
  for (const [count, known] of [
    [0, 1],
    [-1, 1],
    [Number.MIN_SAFE_INTEGER, 1],
    [250, 250],
    [251, 250],
    [Number.MAX_SAFE_INTEGER, 250],
  ] as const) {
    const servers = set()
    servers.connected(0, server('a'), count, 0)
    t.equal(servers.knownCount(), known)
    t.equal(servers.wants(0), known > 1)
  }
})

t.test('holds as many as another source makes of what servers reported', async (t) => {
  let leases = 0
  const asked: number[] = []
  const servers = set({
    wantedCount(reportedCount) {
      asked.push(reportedCount)
      return leases
    },
  })
  t.equal(servers.knownCount(), 1, 'never none')
  servers.connected(0, server('a'), 3, 0)
  t.notOk(servers.wants(0))
  leases = 2
  t.ok(servers.wants(0), 'asked each time')
  servers.connected(0, server('b'), 0, 0)
  t.notOk(servers.wants(0))
  t.strictSame([...new Set(asked)], [0, 3], 'a count of nothing is not reported')
})

t.test('keeps those it has when there are fewer than it holds', async (t) => {
  const servers = set()
  const [a, b] = [server('a'), server('b')]
  servers.connected(0, a, 2, 0)
  servers.connected(0, b, 1, 0)
  t.notOk(servers.wants(0))
  t.strictSame(servers.all(), [a, b])
})

t.test('goes on asking for ever when told to, at the pace of the interval', async (t) => {
  const servers = set({ forever: true })
  servers.connected(0, server('a'), 1, 0)
  t.ok(servers.wants(0))
  for (let round = 0; round < 5; round++) servers.connected(0, server('a'), 1, 0)
  t.ok(servers.wants(0))
  t.strictSame(ceilings(servers, [0]), [1_100])
  t.equal(servers.connected(0, server('b'), 2, 0), 'kept', 'a server that was added')
  t.equal(servers.knownCount(), 2)
})

t.test('keeps the old one when a server answers twice, and believes nothing the new one says', async (t) => {
  const servers = set()
  const [old, duplicate] = [server('a'), server('a')]
  servers.connected(0, old, 2, 0)
  t.equal(servers.connected(0, duplicate, 9, 0), 'duplicate')
  t.strictSame(servers.all(), [old])
  t.equal(servers.knownCount(), 2)
})

t.test('the end of a duplicate, in whatever way, leaves the one that was kept', async (t) => {
  const servers = set()
  const [old, duplicate] = [server('a'), server('a')]
  servers.connected(0, old, 1, 0)
  servers.connected(0, duplicate, 1, 0)
  t.equal(servers.leaving(duplicate, 0, 0, 0), undefined)
  t.equal(servers.gone(duplicate, 0), undefined)
  t.strictSame(servers.all(), [old])
  t.notOk(servers.wants(0))
})

t.test('asks a host that answers with the same server over and over less and less often', async (t) => {
  const servers = set()
  servers.connected(0, server('a'), 3, 0)
  const waits = Array.from({ length: 8 }, () => {
    servers.connected(0, server('a'), 3, 0)
    return servers.waitMs(0, 0)
  })
  t.strictSame(waits, [1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000, 10_000])
  servers.gone(server('b'), 0)
  t.equal(servers.waitMs(0, 0), 10_000, 'the end of one that it does not hold changes nothing')
})

t.test('asks a host that has shown two servers at once, a balancer, at the pace of the interval', async (t) => {
  const servers = set()
  servers.connected(0, server('a'), 3, 0)
  servers.connected(0, server('a'), 3, 0)
  servers.connected(0, server('b'), 3, 0)
  for (const id of ['a', 'b', 'b', 'a', 'a']) servers.connected(0, server(id), 3, 0)
  t.strictSame(ceilings(servers, [0]), [1_100])
})

t.test('a server that came back under another name does not make a balancer of its host', async (t) => {
  const servers = set()
  const first = server('first')
  servers.connected(0, first, 2, 0)
  servers.gone(first, LATER_MS)
  servers.connected(0, server('second'), 2, LATER_MS)
  for (let round = 0; round < 3; round++) servers.connected(0, server('second'), 2, LATER_MS)
  t.ok(servers.waitMs(0, 0) > 3_000)
})

t.test('wants another one as soon as one says that it leaves, and counts that one until it is gone', async (t) => {
  const servers = set()
  const a = server('a')
  servers.connected(0, a, 1, 0)
  servers.leaving(a, 0, LATER_MS, 0)
  t.ok(servers.wants(0))
  t.strictSame(servers.all(), [a])
  t.equal(servers.leaving(a, 0, LATER_MS, 0), undefined, 'saying it twice changes nothing')
  t.strictSame(servers.all(), [a])
  t.equal(servers.gone(a, LATER_MS), 'leaving')
  t.strictSame(servers.all(), [])
  t.equal(servers.waitMs(0, 0), 1_000, 'it left in good order: no back-off')
})

t.test('a server that leaves may be held anew under its id, and its end does not touch the new one', async (t) => {
  const servers = set()
  const [leaving, anew] = [server('a'), server('a')]
  servers.connected(0, leaving, 1, 0)
  servers.leaving(leaving, 0, 0, 0)
  t.equal(servers.connected(0, anew, 1, 0), 'kept')
  t.strictSame(servers.all(), [anew, leaving])
  t.equal(servers.gone(leaving, 0), 'leaving')
  t.strictSame(servers.all(), [anew])
  t.notOk(servers.wants(0))
})

t.test('hears of the end of a server twice without harm', async (t) => {
  const servers = set()
  const [a, b] = [server('a'), server('b')]
  servers.connected(0, a, 2, 0)
  servers.connected(0, b, 2, 0)
  t.equal(servers.gone(a, 0), 'held')
  t.equal(servers.gone(a, 0), undefined)
  t.equal(servers.leaving(a, 0, 0, 0), undefined)
  t.strictSame(servers.all(), [b])
})

t.test('waits the interval and up to a tenth more while all is well', async (t) => {
  const servers = set()
  t.strictSame(
    [0, 0.5, 1].map((random) => servers.waitMs(0, random)),
    [1_000, 1_050, 1_100],
  )
})

t.test('looks on soon while each answer is of another server and more are said to be there', async (t) => {
  const servers = set()
  const [a, b, c] = [server('a'), server('b'), server('c')]
  servers.connected(0, a, 3, 0)
  t.equal(servers.waitMs(0, 0), 100)
  servers.connected(0, a, 3, 0)
  t.ok(servers.waitMs(0, 0) >= 1_000, 'not after one that is held already')
  servers.connected(0, b, 3, 0)
  t.equal(servers.waitMs(0, 0), 100)
  servers.connected(0, c, 3, 0)
  t.equal(servers.waitMs(0, 0), 1_000, 'all are held')
})

t.test('is in no hurry where several hosts may have the others, nor when it asks for ever', async (t) => {
  for (const options of [{ hosts: 2 }, { forever: true }]) {
    const servers = set(options)
    servers.connected(0, server('a'), 3, 0)
    t.equal(servers.waitMs(0, 0), 1_000)
  }
})

t.test('backs off with each failure, up to the cap, and starts over when a server answers', async (t) => {
  const servers = set()
  const longest = Array.from({ length: 8 }, () => {
    servers.failed(0)
    return servers.waitMs(0, 1)
  })
  t.strictSame(longest, [1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000])
  servers.connected(0, server('a'), 1, 0)
  t.equal(servers.waitMs(0, 1), 1_100)
})

t.test('spreads out after the loss of a server, and does not forget failures for it', async (t) => {
  const servers = set()
  const a = server('a')
  servers.connected(0, a, 2, 0)
  servers.gone(a, LATER_MS)
  t.strictSame([servers.waitMs(0, 0), servers.waitMs(0, 1)], [100, 1_000])
  const b = server('b')
  servers.connected(0, b, 1, LATER_MS)
  servers.failed(0)
  servers.failed(0)
  servers.gone(b, 2 * LATER_MS)
  t.equal(servers.waitMs(0, 1), 1_500)
})

t.test('backs off from a server that answers and does not stay', async (t) => {
  const servers = set()
  const longest = Array.from({ length: 8 }, () => {
    const a = server('a')
    servers.connected(0, a, 1, 0)
    servers.gone(a, LATER_MS - 1)
    return servers.waitMs(0, 1)
  })
  t.strictSame(longest, [1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000])
  const stays = server('a')
  servers.connected(0, stays, 1, 0)
  servers.gone(stays, LATER_MS)
  t.equal(servers.waitMs(0, 1), 1_000, 'one that stayed as long as the longest wait makes up for it')
})

t.test('takes half a minute for staying, however long the longest wait is', async (t) => {
  const servers = set({ capMs: 3_600_000 })
  for (const [stayedMs, ceilingMs] of [
    [29_999, 1_000],
    [29_999, 1_500],
    [30_000, 1_000],
  ] as const) {
    const a = server('a')
    servers.connected(0, a, 1, 0)
    servers.gone(a, stayedMs)
    t.equal(servers.waitMs(0, 1), ceilingMs)
  }
})

t.test('reckons how long a server stayed from when it came', async (t) => {
  const servers = set()
  for (const ceilingMs of [1_000, 1_500]) {
    const a = server('a')
    servers.connected(0, a, 1, LATER_MS)
    servers.gone(a, LATER_MS + 1)
    t.equal(servers.waitMs(0, 1), ceilingMs)
  }
})

t.test('backs off from a server that answers and says at once that it leaves', async (t) => {
  const servers = set()
  const longest = Array.from({ length: 8 }, () => {
    const a = server('a')
    servers.connected(0, a, 1, 0)
    return servers.leaving(a, 0, LATER_MS - 1, 1)
  })
  t.strictSame(longest, [1_000, 1_500, 2_250, 3_375, 5_062.5, 7_593.75, 10_000, 10_000])
  const polite = server('a')
  servers.connected(0, polite, 1, 0)
  t.equal(servers.leaving(polite, 12_000, 0, 0), 10_000, 'and no less than it asks for')
})

t.test(
  'waits after a server that leaves as long as it asks for, but no longer than the longest back-off',
  async (t) => {
    const asked = [0, 2_500, 10_000, 10_001, Number.MAX_SAFE_INTEGER, -1]
    t.strictSame(
      asked.map((ms) => {
        const servers = set()
        const a = server('a')
        servers.connected(0, a, 1, 0)
        return servers.leaving(a, ms, LATER_MS, 1)
      }),
      [0, 2_500, 10_000, 10_000, 10_000, 0],
    )
  },
)

t.test('names the one to hang up on when many have said that they leave and stay', async (t) => {
  const servers = set()
  const all = Array.from({ length: 51 }, (_, index) => server(`s-${index}`))
  for (const one of all) {
    t.equal(servers.overstayed(), undefined)
    servers.connected(0, one, 1, 0)
    servers.leaving(one, 0, 0, 0)
  }
  t.equal(servers.overstayed(), all[0], 'the one that has said it first')
  servers.gone(all[0]!, 0)
  t.equal(servers.overstayed(), undefined)
})

t.test('wants a server from each host, whatever the count', async (t) => {
  const servers = set({ hosts: 3 })
  servers.connected(0, server('a'), 1, 0)
  t.strictSame([0, 1, 2].map(servers.wants), [false, true, true])
  t.equal(servers.connected(1, server('b'), 1, 0), 'kept')
  t.equal(servers.connected(2, server('a'), 1, 0), 'duplicate', 'the same one by another name')
  t.strictSame([0, 1, 2].map(servers.wants), [false, false, false])
  t.strictSame(ids(servers), ['a', 'b'])
})

t.test('all hosts fill one set, and the highest count holds', async (t) => {
  const servers = set({ hosts: 2 })
  servers.connected(0, server('a'), 1, 0)
  servers.connected(1, server('b'), 3, 0)
  t.equal(servers.knownCount(), 3)
  t.strictSame([0, 1].map(servers.wants), [true, true], 'the third may be behind either')
  servers.connected(1, server('c'), 3, 0)
  t.strictSame([0, 1].map(servers.wants), [false, false])
})

t.test('with the server that answered at two hosts both want another one', async (t) => {
  const servers = set({ hosts: 2 })
  const a = server('a')
  servers.connected(0, a, 1, 0)
  servers.connected(1, server('a'), 1, 0)
  servers.gone(a, LATER_MS)
  t.strictSame([0, 1].map(servers.wants), [true, true])
})

t.test('with the end of a server the answers that it gave in vain are forgotten, at every host', async (t) => {
  const servers = set({ hosts: 2 })
  const a = server('a')
  servers.connected(0, a, 2, 0)
  for (let count = 0; count < 5; count++) servers.connected(1, server('a'), 2, 0)
  servers.gone(a, LATER_MS)
  servers.connected(0, server('b'), 2, LATER_MS)
  servers.connected(1, server('b'), 2, LATER_MS)
  t.equal(servers.waitMs(1, 0), 1_500, 'one answer in vain')
})

t.test('a count that only a host without a server has reported is forgotten while another one has one', async (t) => {
  const servers = set({ hosts: 2 })
  const a = server('a')
  servers.connected(0, a, 5, 0)
  servers.connected(1, server('b'), 2, 0)
  t.equal(servers.knownCount(), 5)
  servers.gone(a, LATER_MS)
  t.equal(servers.knownCount(), 2)
})

t.test('remembers the count while no server is held at all', async (t) => {
  const servers = set()
  const a = server('a')
  servers.connected(0, a, 3, 0)
  servers.gone(a, LATER_MS)
  t.equal(servers.knownCount(), 3)
})

t.test('each host has setbacks of its own', async (t) => {
  const servers = set({ hosts: 3 })
  for (let count = 0; count < 3; count++) servers.failed(0)
  const flapping = server('b')
  servers.connected(1, flapping, 1, 0)
  servers.gone(flapping, 0)
  servers.connected(1, flapping, 1, 0)
  servers.gone(flapping, 0)
  t.strictSame(ceilings(servers, [0, 1, 2]), [2_250, 1_500, 1_100])
})
