/** Small stories of one or two connections, told in every order in which actions and arrivals can happen. */
import t from 'tap'
import { noExtensions, offered } from '../../src/tunnel/extensions.ts'
import { type Action, type Story, tellEveryOrder } from './model/interleavings.ts'
import type { ModelSocket, Plan } from './model/socket.ts'
import type { Step } from './model/step.ts'
import type { World } from './model/world.ts'

const quiet = (): Plan => ({ totalBytes: 0, endless: true, sink: 'fast' })

const openOne = (world: World): void => void world.dial({ client: quiet(), target: quiet() })
const tunnel = (world: World) => world.tunnels[0]!
const client = (world: World): ModelSocket | undefined => tunnel(world).client
const target = (world: World): ModelSocket | undefined => tunnel(world).target
const carrierOpen = (index: number) => (world: World) => (world.lanes[index]?.state === 'open' ? 'now' : 'never')

/** An action of one socket, for as long as the socket is there. */
function of(socket: typeof client, what: string, run: (socket: ModelSocket, world: World) => void): Action {
  return {
    name: `the ${socket === client ? 'client' : 'target'} ${what}`,
    when(world) {
      const it = socket(world)
      if (!it) return tunnel(world).dial === 'pending' || tunnel(world).dial === 'connected' ? 'later' : 'never'
      return it.ending ? 'never' : 'now'
    },
    run: (world) => run(socket(world)!, world),
  }
}

/** What the socket does next by itself, whatever it is. */
function goOn(socket: ModelSocket): void {
  const steps: Step[] = []
  socket.steps(steps)
  steps.find(({ name }) => /reads$|ends$/.test(name))?.run()
}

const sends = (socket: ModelSocket): void => {
  socket.plan.totalBytes += 16
  goOn(socket)
}

const ends = (socket: ModelSocket): void => {
  sends(socket)
  socket.windingUp = true
  goOn(socket)
}

/** A server's word: the model's client is at the server. */
const leaves = (socket: ModelSocket): void => {
  sends(socket)
  socket.leave()
}

const breaksOff = (socket: ModelSocket): void => {
  sends(socket)
  socket.cutOff()
}

const breaks = (socket: ModelSocket): void => {
  sends(socket)
  socket.break()
}

const actions = {
  'client sends': of(client, 'sends', sends),
  'target sends': of(target, 'sends', sends),
  'client ends': of(client, 'ends', ends),
  'target ends': of(target, 'ends', ends),
  'client leaves': of(client, 'leaves', leaves),
  'client breaks off': of(client, 'breaks off', breaksOff),
  'target breaks off': of(target, 'breaks off', breaksOff),
  'client breaks': of(client, 'breaks', breaks),
  'target breaks': of(target, 'breaks', breaks),
  drain: { name: 'the agent drains', when: carrierOpen(0), run: (world) => world.drain() },
  'go away': { name: 'the server goes away', when: carrierOpen(0), run: (world) => world.goAway() },
  'end of stream': { name: 'the stream ends', when: carrierOpen(0), run: (world) => world.cut(world.lanes[0]!) },
  timeout: { name: 'nothing is heard for too long', when: carrierOpen(0), run: (world) => world.tick(12_000) },
  'another dial': {
    name: 'another dial',
    when: carrierOpen(0),
    run: (world) => void world.dial({ client: quiet(), target: quiet() }),
  },
  'cancel of another dial': {
    name: 'that dial is cancelled',
    when(world) {
      const other = world.tunnels[1]
      if (!other) return world.lanes[0]?.state === 'open' ? 'later' : 'never'
      return other.dial === 'pending' ? 'now' : 'never'
    },
    run: (world) => world.cancel(world.tunnels[1]!),
  },
} as const satisfies Record<string, Action>

type Name = keyof typeof actions
const names = (Object.keys(actions) as Name[]).filter((name) => !/dial|sends|leaves/.test(name))
const kinds = [
  ['with our extensions', offered, 'any three'],
  ['without any', noExtensions, 'any two'],
] as const

for (const [how, extensions, many] of kinds) {
  t.test(`ends everything once when ${many} things race on an open connection, ${how}`, async (t) => {
    let orders = 0
    for (const [index, first] of names.entries()) {
      for (const [offset, second] of names.slice(index).entries()) {
        for (const third of extensions === offered ? names.slice(index + offset) : [first]) {
          const picked = [...new Set([first, second, third])]
          orders += tellEveryOrder({ extensions, start: openOne, parties: picked.map((name) => [actions[name]]) })
        }
      }
    }
    t.ok(orders > 500, `${orders} orders`)
  })

  t.test(`ends everything once when each of them races with a dial and its cancellation, ${how}`, async (t) => {
    let orders = 0
    const dialAndCancel = [actions['another dial'], actions['cancel of another dial']]
    const agent: Action[] = [
      {
        name: 'the agent answers',
        when(world) {
          const other = world.tunnels[1]
          if (other?.asked === 'pending') return 'now'
          if (other && other.asked !== 'not-yet') return 'never'
          return world.lanes[0]?.state === 'open' ? 'later' : 'never'
        },
        run: (world) => world.accept(world.tunnels[1]!),
      },
    ]
    for (const name of names) {
      for (const answer of ['accepts', 'refuses'] as const) {
        const answers = agent.map((it) =>
          answer === 'accepts' ? it : { ...it, run: (world: World) => world.refuse(world.tunnels[1]!) },
        )
        orders += tellEveryOrder({ extensions, start: openOne, parties: [dialAndCancel, answers, [actions[name]]] })
      }
    }
    t.ok(orders > 500, `${orders} orders`)
  })
}

t.test(
  'ends everything once when a client that leaves races with any two things, and loses nothing of what it sent',
  async (t) => {
    let orders = 0
    for (const [, extensions] of kinds) {
      for (const [index, first] of names.entries()) {
        if (first.startsWith('client ends')) continue // who has ended its side does not leave
        for (const second of extensions === offered ? names.slice(index + 1) : [first]) {
          if (second.startsWith('client ends')) continue
          const parties = [...new Set(['client leaves', first, second] as const)].map((name) => [actions[name]])
          orders += tellEveryOrder({ extensions, start: openOne, parties })
        }
      }
    }
    t.ok(orders > 500, `${orders} orders`)
  },
)

t.test('loses nothing when both sides send, end, and one of them breaks off', async (t) => {
  const story = (client: Name[], target: Name[], extensions: Story['extensions']): Story => ({
    extensions,
    start: openOne,
    parties: [client.map((name) => actions[name]), target.map((name) => actions[name])],
  })
  let orders = 0
  for (const [, extensions] of kinds) {
    orders += tellEveryOrder(story(['client sends', 'client ends'], ['target sends', 'target ends'], extensions))
    orders += tellEveryOrder(story(['client ends', 'client breaks off'], ['target sends', 'target ends'], extensions))
    orders += tellEveryOrder(story(['client sends', 'client ends'], ['target ends', 'target breaks off'], extensions))
    orders += tellEveryOrder(story(['client ends', 'client breaks'], ['target sends', 'target ends'], extensions))
    orders += tellEveryOrder(story(['client sends', 'client ends'], ['target sends', 'target breaks'], extensions))
  }
  t.ok(orders > 1_000, `${orders} orders`)
})

t.test(
  'keeps the order of bytes when they move to a lane and back, and ends all of it when the lane is lost',
  async (t) => {
    const moves = (socket: typeof client, index: number): Action =>
      of(socket, `moves to ${index}`, (it, world) => {
        const lane = world.lanes[index]
        if (lane?.state === 'open') world.move(it, lane)
        sends(it)
      })
    const lost: Action = { name: 'the lane breaks', when: carrierOpen(1), run: (world) => world.cut(world.lanes[1]!) }
    const start = (world: World): void => {
      world.addLane()
      world.dial({ client: quiet(), target: quiet() })
    }
    const clientMoves = [moves(client, 1), moves(client, 0), actions['client ends']]
    const movesAndLeaves = [moves(client, 1), actions['client leaves']]
    const targetMoves = [moves(target, 1), actions['target ends']]
    let orders = 0
    for (const parties of [
      [clientMoves],
      [clientMoves, [lost]],
      [targetMoves, [lost]],
      [[moves(target, 1), actions['target breaks']], [lost]],
      [[moves(target, 1), actions['target ends'], actions['target breaks']], [lost]],
      [clientMoves.slice(2), targetMoves],
      [movesAndLeaves, [lost]],
      [movesAndLeaves, [actions['target ends']]],
    ]) {
      orders += tellEveryOrder({ extensions: offered, start, parties })
    }
    t.ok(orders > 1_000, `${orders} orders`)
  },
)

t.test('breaks nothing when the agent ends a lane that is in use, and goes on where it was before', async (t) => {
  const moves = (socket: typeof client, index: number): Action =>
    of(socket, `moves to ${index}`, (it, world) => {
      const lane = world.lanes[index]
      if (lane?.state === 'open') world.move(it, lane)
      sends(it)
    })
  const ends: Action = {
    name: 'the agent ends the lane',
    when: carrierOpen(1),
    run: (world) => world.endLane(world.lanes[1]!, 'agent'),
  }
  const start = (world: World): void => {
    world.addLane()
    world.dial({ client: quiet(), target: quiet() })
  }
  let orders = 0
  for (const parties of [
    [[moves(client, 1), actions['client ends']], [ends]],
    [[moves(client, 1), moves(client, 0)], [ends]],
    [[moves(target, 1), actions['target ends']], [ends]],
    [[moves(client, 1), actions['client leaves']], [ends]],
  ]) {
    orders += tellEveryOrder({ extensions: offered, start, parties })
  }
  t.ok(orders > 1_000, `${orders} orders`)
})
