import t from 'tap'
import { createReplicaLists } from '../../src/proxy-agent/core/replica-lists.ts'
import { createServerSet } from '../../src/proxy-agent/core/server-set.ts'
import type { Link, LinkEvents } from '../../src/proxy-agent/link-owner.ts'
import { createServerKeeper, type ServerKeeper } from '../../src/proxy-agent/server-keeper.ts'
import type { ListedServer } from '../../src/tunnel/packet.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

/** A link that does what the test says: it ends only when told `gone`, as a real one does some time after `end`. */
type TestLink = Link & {
  serverId: string
  readonly host: number
  /** What it asks for, of a replica that was listed. */
  readonly name: string | undefined
  readonly asked: string[]
  readonly answer: (serverId: string, count?: number) => void
  readonly leave: (reconnectAfterMs: number) => void
  readonly drained: () => void
  readonly list: (...replicas: (string | Partial<ListedServer>)[]) => void
  readonly gone: (reason?: string) => void
}

function testLink(host: number, events: LinkEvents, name?: string): TestLink {
  let connected = false
  let lists = name !== undefined
  const asked: string[] = []
  const link: TestLink = {
    name,
    serverId: '',
    host,
    asked,
    session: () => undefined,
    lists: () => lists,
    endCode: () => 'Unavailable',
    drain: () => void asked.push('drain'),
    showCertificate: () => undefined,
    showToken: () => undefined,
    finish: () => void asked.push('finish'),
    end: (reason) => void asked.push(`end: ${reason}`),
    answer(serverId, count = 1) {
      link.serverId = serverId
      connected = true
      events.connected(link, count, [])
    },
    leave: (reconnectAfterMs) => events.leaving(link, reconnectAfterMs),
    drained: () => events.drained(link),
    list(...replicas) {
      lists = true
      const all = replicas.map((given) => (typeof given === 'string' ? { id: given } : given))
      events.listed(
        link,
        all.map(({ id = '', address = '', workers = 1 }) => ({ id, address, serverName: `${id}.example`, workers })),
      )
    },
    gone: (reason = 'the connection closed') => events.gone(link, reason, connected),
  }
  return link
}

function setup(hosts: readonly string[] = ['hub:8091']) {
  const clock = manualClock()
  const log = recordedLog()
  const links: TestLink[] = []
  const failures: string[] = []
  const servers = createServerSet<Link>({ hosts: hosts.length, baseMs: 1_000, capMs: 10_000 })
  const keeper = createServerKeeper({
    servers,
    lists: createReplicaLists({ hosts: hosts.map((host) => ({ host, port: 8091 })), follows: false }),
    hosts,
    clock,
    log,
    random: () => 0.5,
    metrics: {
      connectFailed: () => failures.push('not connected'),
      streamLost: (code) => failures.push(`lost: ${code}`),
    },
    open(host, events, place) {
      const link = testLink(host, events, place?.serverName)
      links.push(link)
      return link
    },
  })
  return { clock, log, links, failures, servers, keeper }
}

/** One server is held, for long enough to be one that stays, and no other is wanted. */
function connected() {
  const world = setup()
  world.keeper.start()
  world.links[0]!.answer('a')
  world.clock.advance(10_000)
  return { ...world, first: world.links[0]! }
}

/** Whether the promise has resolved by the end of this turn. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(() => {
    done = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return done
}

const drain = (keeper: ServerKeeper): Promise<void> => keeper.drain()

t.test('opens one link at a time until it holds all servers there are', async (t) => {
  const { clock, links, servers, keeper } = setup()
  keeper.start()
  clock.advance(2_999)
  t.equal(links.length, 1, 'no second attempt while the first is young')
  links[0]!.answer('a', 2)
  t.equal(links.length, 1)
  clock.advance(1_050)
  t.equal(links.length, 2)
  links[1]!.answer('b', 2)
  for (let look = 0; look < 10; look++) clock.advance(1_050)
  t.equal(links.length, 2)
  t.strictSame(
    servers.all().map(({ serverId }) => serverId),
    ['a', 'b'],
  )
  t.equal(clock.waiting(), 1, 'one look is ahead')
})

t.test('tries once more beside an attempt that gets no answer, and no more often', async (t) => {
  const { clock, links, failures, servers, keeper } = setup()
  keeper.start()
  clock.advance(3_000)
  t.equal(links.length, 2)
  clock.advance(60_000)
  t.equal(links.length, 2)
  links[1]!.answer('b')
  t.strictSame(links[0]!.asked, ['end: another server answered'], 'none is wanted any more')
  links[0]!.gone('another server answered')
  t.strictSame(failures, [], 'which is no failure')
  t.strictSame(servers.all(), [links[1]])
  clock.advance(60_000)
  t.equal(links.length, 2)
})

t.test('lets an attempt without an answer be while more servers are wanted', async (t) => {
  const { clock, links, servers, keeper } = setup()
  keeper.start()
  clock.advance(3_000)
  links[1]!.answer('b', 3)
  clock.advance(1_050)
  t.equal(links.length, 3)
  links[0]!.answer('a', 3)
  links[2]!.gone('no answer within 10000 ms')
  t.equal(servers.all().length, 2)
  clock.advance(550)
  t.equal(links.length, 4)
})

t.test('tries again after a failure, later each time, and counts each', async (t) => {
  const { clock, links, failures, keeper } = setup()
  keeper.start()
  const waits = [550, 825, 1_237.5]
  for (const [index, waitMs] of waits.entries()) {
    links[index]!.gone('connect ECONNREFUSED')
    clock.advance(waitMs - 0.5)
    t.equal(links.length, index + 1, 'not yet')
    clock.advance(0.5)
    t.equal(links.length, index + 2)
  }
  t.strictSame(failures, ['not connected', 'not connected', 'not connected'])
})

t.test('tells of a failure, of another one, and once a minute of the same', async (t) => {
  const { clock, log, links, keeper } = setup()
  keeper.start()
  const fail = (reason: string): void => {
    links.at(-1)!.gone(reason)
    clock.advance(5_500)
  }
  for (let count = 0; count < 12; count++) fail('connect ECONNREFUSED')
  fail('no answer within 10000 ms')
  fail('no answer within 10000 ms')
  const told = log.lines.filter(({ level }) => level === 'warn').map(({ message, fields }) => ({ message, ...fields }))
  const message = 'could not connect'
  t.strictSame(told, [
    { message, server: 'hub:8091', reason: 'connect ECONNREFUSED' },
    { message, server: 'hub:8091', reason: 'connect ECONNREFUSED', repeated: 10 },
    { message, server: 'hub:8091', reason: 'no answer within 10000 ms' },
  ])
  t.equal(log.messages('debug').length, 14, 'all of them are in the log at its finest')

  links.at(-1)!.answer('a')
  links.at(-1)!.gone('read ECONNRESET')
  clock.advance(5_500)
  links.at(-1)!.gone('no answer within 10000 ms')
  t.strictSame(log.messages('warn').slice(3), ['disconnected', 'could not connect'], 'after a success it is news again')
})

t.test('comes back after a loss, and tells of it', async (t) => {
  const { clock, log, links, failures, servers, first } = connected()
  first.gone('read ECONNRESET')
  t.strictSame(servers.all(), [])
  t.strictSame(failures, ['lost: Unavailable'])
  t.match(log.lines, [
    { message: 'connected', fields: { server: 'hub:8091', server_id: 'a' } },
    { message: 'disconnected', fields: { server: 'hub:8091', server_id: 'a', reason: 'read ECONNRESET' } },
  ])
  clock.advance(550)
  t.equal(links.length, 2)
})

t.test('lets a duplicate go and keeps the old one; the end of the duplicate is no failure', async (t) => {
  const { clock, log, links, failures, servers, keeper } = setup()
  keeper.start()
  links[0]!.answer('a', 2)
  clock.advance(1_050)
  links[1]!.answer('a', 2)
  t.strictSame(links[1]!.asked, ['end: duplicate server: a'])
  links[1]!.gone('duplicate server: a')
  t.strictSame(servers.all(), [links[0]])
  t.strictSame(links[0]!.asked, [])
  t.strictSame([failures, log.messages('debug')], [[], ['connected']], 'once')
  t.equal(clock.waiting(), 1)
  clock.advance(1_575)
  t.equal(links.length, 3, 'it goes on looking for the second server')
})

/** Time passes, in which whoever is asked answers by this name, of two, and ends where it is let go. */
function pass({ clock, links }: ReturnType<typeof setup>, ms: number, serverId: string): void {
  for (let passed = 0; passed < ms; passed += 500) {
    const before = links.length
    clock.advance(500)
    for (const link of links.slice(before)) {
      link.answer(serverId, 2)
      if (link.asked.length > 0) link.gone()
    }
  }
}

t.test(
  'warns, once a minute, when for a minute nobody but whom it holds has answered, and more are said to be there',
  async (t) => {
    const world = setup()
    const { log, links, keeper, clock } = world
    const warned = (): string[] => log.messages('warn')
    keeper.start()
    links[0]!.answer('a', 2)
    pass(world, 60_000, 'a')
    t.strictSame(warned(), [], 'not yet: a balancer leads to whom it likes')
    pass(world, 13_000, 'a')
    t.equal(warned().length, 1)
    t.match(log.lines.at(-1), {
      level: 'warn',
      message: /only a server that is held answers.* --server-id of its own/,
      fields: { server: 'hub:8091', server_id: 'a', held: 1, expected: 2 },
    })
    pass(world, 45_000, 'a')
    t.equal(warned().length, 1)
    pass(world, 30_000, 'a')
    t.equal(warned().length, 2)
    pass(world, 15_000, 'b')
    t.equal(world.servers.all().length, 2)
    links.at(-1)!.gone()
    clock.advance(500)
    const before = warned().length
    pass(world, 50_000, 'a')
    t.equal(warned().length, before, 'a minute begins anew with each server that is found')
  },
)

t.test('goes on looking also while a duplicate takes its time to end', async (t) => {
  const { clock, links, keeper } = setup()
  keeper.start()
  links[0]!.answer('a', 2)
  clock.advance(1_050)
  links[1]!.answer('a', 2)
  clock.advance(1_000)
  links[1]!.gone()
  clock.advance(575)
  t.equal(links.length, 3, 'its end does not put off the next look')
  links[2]!.answer('b', 2)
  t.equal(clock.waiting(), 1)
})

t.test('connects elsewhere when a server leaves, before that one ends', async (t) => {
  const { clock, log, failures, links, servers, first } = connected()
  first.leave(0)
  t.equal(links.length, 1)
  clock.advance(0)
  t.equal(links.length, 2)
  links[1]!.answer('b')
  t.strictSame(
    servers.all().map(({ serverId }) => serverId),
    ['b', 'a'],
  )
  first.gone('the agent stream ended')
  t.strictSame(servers.all(), [links[1]])
  t.strictSame(first.asked, [], 'its connections live until they end')
  t.strictSame([failures, log.messages('warn')], [[], []], 'it had announced that')
  t.match(log.lines.at(-1), { message: 'disconnected', fields: { server_id: 'a', reason: 'the agent stream ended' } })
  t.equal(clock.waiting(), 1)
  clock.advance(60_000)
  t.equal(links.length, 2)
})

t.test('waits as long as a server that leaves says', async (t) => {
  const { clock, links, first } = connected()
  first.leave(5_000)
  t.equal(clock.waiting(), 1, 'one look is ahead, not two')
  clock.advance(4_999)
  t.equal(links.length, 1)
  clock.advance(1)
  t.equal(links.length, 2)
})

t.test('does not stay without a server because one that left said to wait for ever', async (t) => {
  const { clock, links, first } = connected()
  first.leave(Number.MAX_SAFE_INTEGER)
  clock.advance(10_000)
  t.equal(links.length, 2, 'no longer than the longest back-off')
})

t.test('does not stay without a server because one that left says it again and again', async (t) => {
  const { clock, links, first } = connected()
  for (let second = 0; second < 11; second++) {
    first.leave(10_000)
    clock.advance(1_000)
  }
  t.equal(links.length, 2)
})

t.test('a server that leaves while another one is being opened is replaced too', async (t) => {
  const { clock, links, keeper } = setup()
  keeper.start()
  links[0]!.answer('a', 2)
  clock.advance(1_050)
  links[0]!.leave(0)
  clock.advance(0)
  t.equal(links.length, 2, 'one at a time')
  links[1]!.answer('b', 2)
  clock.advance(1_050)
  t.equal(links.length, 3)
})

t.test('hears of the end of a server twice in a row and of no server at all', async (t) => {
  const { clock, links, failures, first } = connected()
  first.gone()
  first.gone()
  t.strictSame(failures, ['lost: Unavailable'])
  t.equal(clock.waiting(), 1)
  clock.advance(550)
  t.equal(links.length, 2)
})

t.test('a drain asks every link, those that leave too, and resolves when the last is gone', async (t) => {
  const { clock, links, failures, log, keeper, first } = connected()
  first.leave(0)
  clock.advance(0)
  links[1]!.answer('b')
  const drained = drain(keeper)
  t.strictSame([first.asked, links[1]!.asked], [['drain'], ['drain']])
  first.drained()
  t.strictSame(first.asked, ['drain', 'finish'])
  first.gone()
  t.notOk(await settled(drained))
  links[1]!.drained()
  links[1]!.gone()
  t.ok(await settled(drained))
  t.strictSame([failures, log.messages('warn')], [[], []], 'who ends because we asked has not failed')
  t.equal(clock.waiting(), 0)
})

t.test('a drain without any server is over at once', async (t) => {
  const { keeper } = setup()
  t.ok(await settled(drain(keeper)))
})

t.test('opens nothing any more once it drains, whoever is lost', async (t) => {
  const { clock, links, keeper, first } = connected()
  const drained = drain(keeper)
  t.equal(clock.waiting(), 0)
  first.leave(0)
  first.gone()
  clock.advance(60_000)
  t.ok(await settled(drained))
  t.equal(links.length, 1)
  t.equal(clock.waiting(), 0)
})

t.test('a drain ends the attempt that is under way, and that is no failure', async (t) => {
  const { clock, links, failures, log, keeper } = setup()
  keeper.start()
  const drained = drain(keeper)
  t.strictSame(links[0]!.asked, ['end: draining'])
  links[0]!.gone('draining')
  t.ok(await settled(drained))
  t.strictSame([failures, log.messages('warn')], [[], []])
  clock.advance(60_000)
  t.equal(links.length, 1)
})

t.test('a server that answers after the drain began is not kept waiting for', async (t) => {
  const { links, servers, keeper } = setup()
  keeper.start()
  const drained = drain(keeper)
  links[0]!.answer('a')
  t.strictSame(servers.all(), [])
  t.equal(links[0]!.asked.at(-1), 'end: draining')
  links[0]!.gone()
  t.ok(await settled(drained))
})

t.test('a stop ends every link, the one being opened too, and nothing is opened after it', async (t) => {
  const { clock, links, failures, log, keeper, first } = connected()
  first.leave(0)
  clock.advance(0)
  keeper.stop()
  t.strictSame([first.asked, links[1]!.asked], [['end: stopped'], ['end: stopped']])
  first.gone('stopped')
  links[1]!.gone('stopped')
  clock.advance(60_000)
  t.equal(links.length, 2)
  t.equal(clock.waiting(), 0)
  t.strictSame([failures, log.messages('warn')], [[], []])
})

t.test('a stop leaves no timer, not even of a server that left before or leaves after it', async (t) => {
  const { clock, links, keeper, first } = connected()
  first.leave(5_000)
  keeper.stop()
  t.equal(clock.waiting(), 0)
  first.leave(0)
  clock.advance(60_000)
  t.equal(clock.waiting(), 0)
  t.equal(links.length, 1)
})

t.test('a stop after a drain ends what still drains', async (t) => {
  const { keeper, first } = connected()
  const drained = drain(keeper)
  keeper.stop()
  t.strictSame(first.asked, ['drain', 'end: stopped'])
  first.gone('stopped')
  t.ok(await settled(drained))
})

t.test('asks all hosts at once, and none waits for another', async (t) => {
  const { clock, log, links, servers, keeper } = setup(['dead:1', 'silent:2', 'healthy:3'])
  keeper.start()
  t.strictSame(
    links.map(({ host }) => host),
    [0, 1, 2],
  )
  links[2]!.answer('c', 3)
  links[0]!.gone('connect ECONNREFUSED')
  clock.advance(550)
  const asked = (): number[] => [0, 1, 2].map((host) => links.filter((link) => link.host === host).length)
  t.strictSame(asked(), [2, 1, 1], 'the dead one again, by its own back-off')
  clock.advance(2_450)
  t.strictSame(asked(), [2, 2, 2], 'the silent one beside its first attempt, the healthy one for another server')
  t.strictSame(servers.all(), [links[2]])
  t.match(log.lines.filter(({ level }) => level === 'warn')[0], {
    message: 'could not connect',
    fields: { server: 'dead:1' },
  })
})

t.test('a server that goes away is replaced by way of its own host', async (t) => {
  const { clock, links, keeper } = setup(['one:1', 'two:2'])
  keeper.start()
  links[0]!.answer('a', 1)
  links[1]!.answer('b', 1)
  clock.advance(10_000)
  links[1]!.leave(0)
  clock.advance(0)
  t.strictSame(
    links.map(({ host }) => host),
    [0, 1, 1],
  )
})

t.test('backs off from a server that goes away right after each connect', async (t) => {
  const { clock, links, keeper } = setup()
  keeper.start()
  for (const waitMs of [550, 825, 1_237.5]) {
    const before = links.length
    links.at(-1)!.answer('a')
    links.at(-1)!.leave(0)
    clock.advance(waitMs - 0.5)
    t.equal(links.length, before, 'not yet')
    clock.advance(0.5)
    t.equal(links.length, before + 1)
  }
})

t.test('hangs up on servers that say they go away and do not, when they get many', async (t) => {
  const { clock, links, servers, keeper } = setup()
  keeper.start()
  for (let count = 0; count < 51; count++) {
    links.at(-1)!.answer('a')
    links.at(-1)!.leave(0)
    clock.advance(10_000)
  }
  t.strictSame(links[0]!.asked, ['end: it said long ago that it goes away'])
  t.strictSame(links[1]!.asked, [])
  links[0]!.gone()
  t.equal(servers.all().length, 50)
})

t.test('a drain and a stop give up all attempts at all hosts', async (t) => {
  for (const how of ['drain', 'stop'] as const) {
    const { clock, links, keeper } = setup(['one:1', 'two:2'])
    keeper.start()
    clock.advance(3_000)
    void keeper[how]()
    t.strictSame(
      links.map(({ asked }) => asked.length),
      [1, 1, 1, 1],
    )
    for (const link of links) link.gone()
    t.equal(clock.waiting(), 0)
  }
})

/** `a` is held and lists all of these. */
function listing(...ids: string[]) {
  const world = connected()
  world.first.list(...ids)
  const asks = (): (string | undefined)[] => world.links.slice(1).map(({ name }) => name)
  const named = (name: string): TestLink => world.links.findLast((link) => link.name === `${name}.example`)!
  return { ...world, asks, named }
}

t.test('asks each replica that is listed for itself, at once, and the one it holds not again', async (t) => {
  const { clock, asks, named, servers } = listing('a', 'b', 'c')
  t.strictSame(asks(), ['b.example', 'c.example'])
  named('b').answer('b')
  named('c').answer('c')
  clock.advance(60_000)
  t.strictSame(asks(), ['b.example', 'c.example'], 'and nobody else from then on')
  t.equal(servers.all().length, 3)
})

t.test('asks a replica that is added within a second, each agent at a moment of its own', async (t) => {
  const { clock, first, asks, named } = listing('a', 'b')
  named('b').answer('b')
  first.list('a', 'b', 'c')
  clock.advance(499)
  t.strictSame(asks(), ['b.example'], 'random is one half')
  clock.advance(1)
  t.strictSame(asks(), ['b.example', 'c.example'])
})

t.test('a replica that is added and has answered by another name meanwhile is not asked', async (t) => {
  const { clock, first, asks, named } = listing('a', 'b')
  first.list('a', 'b', 'c')
  named('b').answer('c')
  clock.advance(500)
  t.notOk(asks().includes('c.example'))
})

t.test('leaves who is listed no more when the others are held, by draining it', async (t) => {
  const { clock, first, named, servers, log } = listing('a', 'b')
  named('b').answer('b')
  named('b').list('b', 'c')
  first.list('b', 'c')
  clock.advance(500)
  t.strictSame(first.asked, [], 'c is not held yet')
  named('c').answer('c')
  t.strictSame(first.asked, ['drain'])
  const told = log.lines.map(({ message, fields }) => `${message}: ${fields.server_id}`)
  t.strictSame(
    told.slice(-2),
    ['connected: c', 'leaves a server that is of no listed replica: a'],
    'the log tells it in the order in which it happened',
  )
  first.drained()
  t.strictSame(first.asked, ['drain', 'finish'])
  first.gone()
  t.strictSame(
    servers.all().map(({ serverId }) => serverId),
    ['b', 'c'],
  )
})

t.test('gives up whom nobody lists any more, and asks it no more', async (t) => {
  const { clock, first, asks, named, failures } = listing('a', 'b')
  first.list('a')
  t.strictSame(named('b').asked, ['end: it is listed no more'])
  named('b').gone()
  clock.advance(60_000)
  t.strictSame(asks(), ['b.example'])
  t.equal(clock.waiting(), 2, 'the looks at the host and at a: none at b')
  t.strictSame(failures, [])
})

t.test('what a replica listed that goes away does not count, but stays when it was the only one', async (t) => {
  const { clock, first, asks, named } = listing('a', 'b')
  named('b').answer('b')
  named('b').list('a', 'b')
  first.list('a', 'b', 'c')
  clock.advance(500)
  t.equal(asks().at(-1), 'c.example')
  first.leave(0)
  t.strictSame(named('c').asked, ['end: it is listed no more'])
  clock.advance(1_100)
  t.equal(asks().at(-1), 'a.example', 'it may be back')
  named('b').gone()
  t.equal(named('a').asked.length, 0, 'both are still sought')
})

t.test('a server that lists nothing is not in the way, and lists end with those who tell them', async (t) => {
  const { clock, first, links, named } = listing('a', 'b')
  first.gone()
  named('b').gone()
  clock.advance(60_000)
  const again = links.findLast(({ name }) => name === undefined)!
  t.not(again, first, 'the host itself is asked again')
  again.answer('stock')
  t.match(named('a').asked.at(-1) ?? named('b').asked.at(-1), /listed no more/)
  t.strictSame(again.asked, [])
})

t.test('does not come back to a replica that it lost when nobody listed it any more', async (t) => {
  const { clock, first, asks, named } = listing('a', 'b')
  named('b').answer('b')
  first.list('a', 'c')
  clock.advance(500)
  t.strictSame(named('b').asked, [], 'c is not held yet')
  named('b').gone()
  clock.advance(60_000)
  t.strictSame(asks(), ['b.example', 'c.example', 'c.example'])
  t.equal(clock.waiting(), 3, 'the looks at the host, at a and at c')
})

t.test('does not heed the list of a server that it holds already', async (t) => {
  const { asks, named } = listing('a', 'b')
  named('b').answer('a')
  t.match(named('b').asked, [/duplicate/])
  named('b').list('a', 'z')
  t.notOk(asks().includes('z.example'))
})

t.test('leaves nobody for being at an address that it does not go to', async (t) => {
  const { clock, log, links, servers, keeper } = setup()
  keeper.start()
  const list = ['a', { id: 'b', address: '192.0.2.1:1' }, { id: 'c', address: '192.0.2.2:1' }]
  for (const id of ['a', 'b', 'c']) {
    links.at(-1)!.answer(id, 3)
    links.at(-1)!.list(...list)
    clock.advance(1_050)
  }
  clock.advance(60_000)
  t.strictSame(
    links.map(({ asked }) => asked),
    [[], [], []],
  )
  t.equal(servers.knownCount(), 3)
  t.equal(log.messages('warn').filter((message) => message.includes('--follow-replica-addresses')).length, 2)
})

t.test('what a replica lists counts no more when it has been left', async (t) => {
  const { clock, first, named, asks, servers } = listing('a', 'b', 'c', 'e')
  for (const id of ['b', 'c', 'e']) {
    named(id).answer(id)
    named(id).list('b', 'c')
  }
  first.list('b', 'c', 'e')
  t.strictSame(first.asked, ['drain'])
  t.strictSame(named('e').asked, ['drain'], 'at once: nobody else lists it')
  for (const id of ['b', 'c']) named(id).list('c', 'd')
  clock.advance(500)
  named('d').answer('d')
  t.strictSame(named('b').asked, ['drain'], 'the first one does not hold it back')
  named('b').gone()
  t.equal(servers.all().filter(({ serverId }) => serverId === 'b').length, 0)
  t.equal(asks().filter((name) => name === 'b.example').length, 1)
})

t.test('leaves a replica that two hosts led to when the servers of one of them list it no more', async (t) => {
  const { clock, links, servers, keeper } = setup(['hub:8091', 'hub.example:8091'])
  keeper.start()
  const [first, second] = links as [TestLink, TestLink]
  first.answer('a')
  first.list('a', 'b')
  second.answer('a')
  t.equal(links.length, 3, 'b is asked by way of one of them first')
  const b = links.at(-1)!
  b.answer('b')
  b.list('b')
  t.strictSame(first.asked, [])
  first.list('b')
  t.strictSame(first.asked, ['drain'])
  clock.advance(60_000)
  t.strictSame([links.length, servers.all().length], [3, 2], 'nobody else is asked')
})

t.test('leaves no server because its own list alone does not name it', async (t) => {
  const { clock, first, named, asks } = listing('b', 'c')
  named('b').answer('b')
  named('c').answer('c')
  clock.advance(60_000)
  t.strictSame(first.asked, [])
  t.strictSame(asks(), ['b.example', 'c.example'])
  named('b').list('b', 'c')
  t.strictSame(first.asked, ['drain'], 'another one says so too')
})

t.test('says which replicas are more than it may hold', async (t) => {
  const { first, log } = connected()
  first.list({ id: 'a', workers: 64 }, { id: 'b', workers: 64 }, { id: 'c', workers: 64 }, { id: 'd', workers: 64 })
  t.ok(log.messages('warn').includes('replica is one too many for an agent, which holds 250 streams at most'))
})

t.test('drains and stops replicas as it does hosts', async (t) => {
  const { keeper, named, links } = listing('a', 'b', 'c')
  named('b').answer('b')
  void drain(keeper)
  t.strictSame(
    links.map(({ asked }) => asked),
    [['drain'], ['drain'], ['end: draining']],
  )
  named('b').list('d')
  t.equal(links.length, 3, 'no list counts any more')
})
