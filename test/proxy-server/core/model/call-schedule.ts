/** One random run of calls: chaos, then calm until nothing is left to do, then the end of everything. */
import { type Extension, type Extensions, offered } from '../../../../src/tunnel/extensions.ts'
import type { Int64, Packet } from '../../../../src/tunnel/packet.ts'
import { createRandom, type Random } from '../../../platform/random.ts'
import { checkEnd, checkLiveness } from '../../../tunnel/model/outcome.ts'
import { choose } from '../../../tunnel/model/rest.ts'
import type { Step } from '../../../tunnel/model/step.ts'
import { socketsOf } from '../../../tunnel/model/tunnel.ts'
import type { Client } from './client.ts'
import { createHub, type Hub } from './hub.ts'

const MOST_DIALS = 6
const MOST_CALM_STEPS = 200_000
const MOST_BYTES = 400_000
export type Manners = 'honest' | 'hostile'
export type Agents = 'ours' | 'stock' | 'both'

export function runCalls(seed: number, agents: Agents, manners: Manners): void {
  const random = createRandom(seed)
  const trace: string[] = []
  const hub = createHub({
    random,
    agents: (agents === 'both' ? (['ours', 'ours', 'stock'] as const) : [agents]).map((kind) => ({
      extensions: extensionsOf(kind, random),
      bytes: random.chance(20),
      fillBytes: random.pick([512, 130]) * 1024,
      budgetBytes: random.chance(85) ? 2 ** 30 : random.pick([300_000, 1_500_000]),
      stockConnectionBytes: random.pick([100_000, 400_000]),
      timeoutMs: 1e9,
      speed: random.pick([1, 0.15]),
    })),
    clients: random.pick([1, 2, 3]),
    dialTimeoutMs: random.pick([0, 30_000]),
    maxPendingDials: random.pick([1, 100, 100]),
    maxViolations: random.pick([2, 1_000, 1_000]),
  })
  try {
    chaos(hub, manners, trace)
    trace.push('calm')
    settle(hub, trace)
    checkRest(hub)
    trace.push('wind up')
    windUp(hub, trace)
    for (const client of hub.clients) client.checkEnd()
    for (const world of hub.worlds) checkEnd(world)
  } catch (error) {
    const last = trace.slice(-Number(process.env.CULVERT_MODEL_TRACE ?? 40)).join('\n  ')
    throw new Error(`${agents} ${manners} seed ${seed}: ${(error as Error).message}\n  ${last}`, { cause: error })
  }
}

function extensionsOf(kind: 'ours' | 'stock', random: Random): Extensions {
  if (kind === 'stock') return new Set<Extension>()
  return random.chance(85) ? offered : new Set([...offered].filter(() => random.chance(60)))
}

function perform(hub: Hub, trace: string[], step: Step): void {
  trace.push(step.name)
  step.run()
  hub.check()
}

function chaos(hub: Hub, manners: Manners, trace: string[]): void {
  const { random } = hub.setup
  for (let count = 60 + random.below(500); count > 0; count--) {
    const steps = hub.steps()
    const add = (name: string, weight: number, run: () => unknown): void => void steps.push({ name, weight, run })
    for (const client of hub.clients) {
      if (client.ended !== 'no') continue
      addManners(hub, client, add)
      if (manners === 'hostile') addMalice(hub, client, add)
    }
    addTrouble(hub, add)
    perform(hub, trace, choose(random, steps))
  }
}

type Add = (name: string, weight: number, run: () => unknown) => void

/** What a client does that keeps to the rules. */
function addManners(hub: Hub, client: Client, add: Add): void {
  const { random } = hub.setup
  const { name, dials, connections } = client
  if (!client.done && dials.length < MOST_DIALS) {
    add(`${name} dials`, dials.length === 0 ? 6 : 0.6, () => dial(hub, client, freshNumber(hub)))
  }
  const [first] = connections
  if (!client.done && first && !first.closed && (first.tunnel.client?.sent ?? 0) < MOST_BYTES) {
    add(`${name} sends`, 6, () => client.sendData(first.id, 1 + random.below(random.pick([16, 20_000, 300_000]))))
  }
  for (const connection of connections) {
    if (client.done || connection.closed) continue
    add(`${name} closes ${connection.id}`, 0.15, () => {
      client.done = true
      client.send({ type: 'CLOSE_REQ', connectId: connection.id, reason: '' })
    })
  }
  for (const { random: number, state } of dials) {
    if (state === 'asked') add(`${name} cancels dial ${number}`, 0.2, () => client.send(dialClose(number)))
  }
  add(`${name} ${client.stalled ? 'takes again' : 'stalls'}`, client.stalled ? 0.3 : 0.1, () => {
    client.stalled = !client.stalled
  })
  add(`${name} ends`, 0.04, () => client.end('in order'))
  add(`${name} breaks`, 0.04, () => client.end('broken'))
  add(`${name} drains`, 0.03, client.drain)
}

/** What a client does that does not. */
function addMalice(hub: Hub, client: Client, add: Add): void {
  const { random } = hub.setup
  const { name, dials } = client
  const ids = [0, 1, 2, 3, 99, 2n ** 62n, ...hub.clients.flatMap((it) => it.connections.map(({ id }) => id))]
  const numbers = [0, 7, 2n ** 62n + 1n, -1, ...hub.clients.flatMap((it) => it.dials.map((one) => one.random))]
  const id = random.pick<Int64>(ids)
  const number = random.pick<Int64>(numbers)
  add(`${name} dials as ${number}`, dials.length < 3 * MOST_DIALS ? 0.6 : 0, () => dial(hub, client, number))
  add(`${name} dials another protocol`, 0.1, () => dial(hub, client, number, 'udp'))
  add(`${name} sends for ${id}`, 0.15, () => client.sendData(id, 10))
  add(`${name} sends nothing for ${id}`, 0.05, () => client.sendData(id, 0))
  add(`${name} closes ${id}`, 0.15, () => client.send({ type: 'CLOSE_REQ', connectId: id, reason: '' }))
  add(`${name} cancels ${number}`, 0.3, () => client.send(dialClose(number)))
  add(`${name} sends what it should not`, 0.15, () => client.send(random.pick(strange)))
}

const strange: readonly Packet[] = [
  { type: 'UNKNOWN', code: 99 },
  { type: 'DRAIN' },
  { type: 'DIAL_RSP', error: '', connectId: 1, random: 1 },
  { type: 'CLOSE_RSP', error: '', connectId: 1 },
  { type: 'END_OF_DATA', connectId: 1, close: 1, reason: '' },
]

/** What agents, targets and networks do. */
function addTrouble(hub: Hub, add: Add): void {
  const { random } = hub.setup
  add('time passes', 0.5, () => hub.tick(random.pick([300, 600, 5_000])))
  for (const [index, world] of hub.worlds.entries()) {
    const { lanes, sides, tunnels } = world
    if (lanes[0]?.state === 'open' && !sides.server.over)
      add(`agent ${index} is lost`, 0.01, () => world.cut(lanes[0]!))
    for (const tunnel of tunnels) {
      if (tunnel.asked === 'pending') add(`agent ${index} refuses ${tunnel.random}`, 0.5, () => world.refuse(tunnel))
      const { target } = tunnel
      if (!target?.connection || target.gaveUp) continue
      add(`${target.name} breaks off`, 0.03, target.cutOff)
      if (target.stalled) {
        add(`${target.name} takes again`, 0.1, () => {
          target.stalled = false
        })
      }
    }
  }
}

/** Beyond what a double holds, now and then. */
function freshNumber(hub: Hub): Int64 {
  const count = hub.clients.reduce((sum, { dials }) => sum + dials.length, 0)
  return hub.setup.random.chance(50) ? 1_000 + count : 2n ** 61n + BigInt(count)
}

function dial(hub: Hub, client: Client, number: Int64, protocol = 'tcp'): void {
  hub.targets++
  client.send({ type: 'DIAL_REQ', protocol, address: `10.0.0.${hub.targets}:80`, random: number })
}

const dialClose = (random: Int64): Packet => ({ type: 'DIAL_CLS', random })

/** Until nothing is left to do. Towards stock agents, time is what parts a stalled socket from the others. */
function settle(hub: Hub, trace: string[]): void {
  rest(hub, trace)
  let before = ''
  for (let now = progress(hub); now !== before; now = progress(hub)) {
    before = now
    for (let round = 0; round < 4; round++) {
      perform(hub, trace, { name: 'time passes', weight: 0, run: () => hub.tick(10_500) })
      rest(hub, trace)
    }
  }
}

function rest(hub: Hub, trace: string[]): void {
  for (let count = 0; count < MOST_CALM_STEPS; count++) {
    const steps = hub.steps()
    if (steps.length === 0) return
    perform(hub, trace, choose(hub.setup.random, steps))
  }
  hub.fail('the run does not come to rest')
}

const progress = (hub: Hub): string =>
  JSON.stringify([
    hub.worlds.map(({ tunnels }) =>
      tunnels.map((tunnel) => socketsOf(tunnel).map(({ received, taken, ending }) => [received, taken, ending])),
    ),
    hub.clients.map(({ dials }) => dials.map(({ state }) => state)),
  ])

/** A client or a target that takes nothing holds up nobody else; all who still wait are told by time. */
function checkRest(hub: Hub): void {
  for (const client of hub.clients) client.checkRest()
  for (const world of hub.worlds) checkLiveness(world)
}

function windUp(hub: Hub, trace: string[]): void {
  for (const client of hub.clients) client.stalled = false
  for (const { tunnels } of hub.worlds) {
    for (const tunnel of tunnels) {
      if (!tunnel.target) continue
      tunnel.target.windingUp = true
      tunnel.target.stalled = false
    }
  }
  settle(hub, trace)
  for (const client of hub.clients) {
    perform(hub, trace, {
      name: `${client.name} ends`,
      weight: 0,
      run: () => client.end(hub.setup.random.pick(['in order', 'broken'])),
    })
  }
  settle(hub, trace)
}
