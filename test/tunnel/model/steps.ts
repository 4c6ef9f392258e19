/** The events of the model that need nobody's decision: frames arrive, sockets go on, losses are noticed, dials succeed. */
import { closeLane, mayClose } from './lane.ts'
import { ROLES } from './side.ts'
import type { Step } from './step.ts'
import { socketsOf } from './tunnel.ts'
import type { World } from './world.ts'

/** What may happen next without anybody's fault. */
export function stepsOf(world: World): Step[] {
  const { lanes, sides, tunnels } = world
  const steps: Step[] = []
  for (const lane of lanes) {
    for (const role of ROLES) {
      const way = lane.ways[role]
      way.steps(steps)
      if (mayClose(lane, role)) {
        steps.push({
          name: `the ${role} closes carrier ${lane.index}`,
          weight: 5,
          run: () => closeLane(world, lane, role),
        })
      }
      if (lane.state === 'cut' && !lane.noticed.has(role) && !lane.closed.has(role)) {
        steps.push({
          name: `the ${role} notices the loss of carrier ${lane.index}`,
          weight: 3,
          run: () => world.notice(lane, role),
        })
      }
    }
  }
  for (const role of ROLES) {
    const { pongs, session, over } = sides[role]
    if (pongs.length > 0 && !over && lanes[0]?.state === 'open') {
      steps.push({
        name: `the ${role} is ponged`,
        weight: 2,
        run() {
          const pong = pongs.shift()
          session.heard(world.nowMs)
          if (pong !== undefined) session.pingAnswered(pong)
        },
      })
    }
  }
  for (const tunnel of tunnels) {
    for (const socket of socketsOf(tunnel)) socket.steps(steps)
    if (tunnel.asked === 'pending') {
      steps.push({ name: `the agent accepts ${tunnel.random}`, weight: 3, run: () => world.accept(tunnel) })
    }
  }
  return steps
}
