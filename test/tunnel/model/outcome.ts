/** What must have come of it all, when nothing is left to do. */
import { socketsOf, type Tunnel } from './tunnel.ts'
import type { World } from './world.ts'

/** A socket that takes nothing holds up nobody else. */
export function checkLiveness(world: World): void {
  for (const tunnel of world.tunnels) {
    if (tunnel.dial === 'pending' || tunnel.asked === 'pending') world.fail(`dial ${tunnel.random} has no answer`)
    const { client, target } = tunnel
    if (!client || !target || client.ending || target.ending) continue
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      if (to.stalled || to.broken) continue
      if (!from.broken && from.sent < from.plan.totalBytes)
        world.fail(`${from.name} was stopped at ${from.sent} of ${from.plan.totalBytes}`)
      if (to.received < from.sent) world.fail(`${to.name} received ${to.received} of ${from.sent}`)
      if (from.sourceEnded && !to.sinkEnded) world.fail(`${to.name} did not hear the end`)
    }
  }
}

export function checkEnd(world: World): void {
  const { tunnels, sides, told, violations, fail } = world
  for (const tunnel of tunnels) checkTunnelEnd(world, tunnel)
  for (const { session, role } of [sides.server, sides.agent]) {
    if (session.connectionCount() + session.dialCount() > 0) fail(`the ${role}'s tables are not empty`)
  }
  const lost = world.lanes[0]?.state === 'cut'
  if (world.drainAsked && !lost && told.drained !== 1) fail('the drain did not end')
  const cancelled = tunnels.some(({ dial }) => dial === 'cancelled')
  for (const violation of violations.keys()) {
    const explained =
      (violation === 'unknown-dial' && (cancelled || told.laneLost)) ||
      (violation === 'unknown-connection' && told.laneLost)
    if (!explained) fail(`the violation ${violation} was counted among honest ends`)
  }
  if (lost) return
  world.cut(world.lanes[0]!)
  for (const { role, budget } of [sides.server, sides.agent]) {
    const process = budget.parent
    world.notice(world.lanes[0]!, role)
    if (process && process.grownBytes !== 0)
      fail(`${process.grownBytes} bytes stay reserved in the budget of the ${role}`)
    if (process && process.usedBytes !== 0) fail(`${process.usedBytes} bytes are left in the budget of the ${role}`)
  }
}

function checkTunnelEnd(world: World, tunnel: Tunnel): void {
  const { fail, sides, told, setup } = world
  const name = `tunnel ${tunnel.random}`
  if (tunnel.dial === 'pending' || tunnel.asked === 'pending') fail(`${name}'s dial has no answer`)
  if (tunnel.dial === 'connected' && !tunnel.target) fail(`${name} connected to nothing`)
  const lost = told.laneLost || sides.server.over || sides.agent.over
  for (const socket of socketsOf(tunnel)) {
    const { ending } = socket
    if (!ending) return fail(`${socket.name} is not over`)
    if (ending.kind === 'finished') continue
    const other = socket === tunnel.client ? tunnel.target : tunnel.client
    // Who breaks off says so on carrier 0; a lane that then ends in order may be gone before that is heard.
    const hadBrokenOff = ending.reason === 'carrier-lost' && other?.closedByOwner === true
    const explained =
      hadBrokenOff ||
      (ending.by === 'peer'
        ? other === undefined || other.ending?.kind === 'reset'
        : ending.by === 'self'
          ? socket.closedByOwner ||
            socket.broken ||
            (ending.reason === 'carrier-lost' && told.laneLost) ||
            (ending.reason === 'peer-takes-nothing' && socket.left) ||
            (ending.reason === 'over-budget' && setup.budgetBytes < 2 ** 30) ||
            (ending.reason === 'slow-consumer' && !setup.extensions.has('flow-control'))
          : lost || (ending.reason === 'close-unanswered' && !setup.extensions.has('half-close')))
    if (!explained) fail(`${socket.name} was reset by ${ending.by}: ${ending.reason}`)
  }
}
