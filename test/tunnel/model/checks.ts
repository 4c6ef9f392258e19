/** What must hold after every step. */
import type { Connection } from '../../../src/tunnel/connection.ts'
import { ROLES, type Role } from './side.ts'
import { backlogOf, heldOf } from './socket.ts'
import { socketsOf, wrongEnding } from './tunnel.ts'
import type { World } from './world.ts'

export function checkWorld(world: World): void {
  const { tunnels, setup, fail } = world
  const flowControl = setup.extensions.has('flow-control')
  const halfClose = setup.extensions.has('half-close')
  for (const role of ROLES) checkSide(world, role)
  for (const tunnel of tunnels) {
    const { client, target } = tunnel
    if ((client?.received ?? 0) > (target?.sent ?? 0) || (target?.received ?? 0) > (client?.sent ?? 0)) {
      fail(`more bytes arrived on ${tunnel.random} than were sent`)
    }
    const wrong = wrongEnding(tunnel, halfClose)
    if (wrong !== undefined) fail(wrong)
    for (const { ending, name, connection } of socketsOf(tunnel)) {
      if (flowControl && connection) checkWindow(world, name, connection)
      if (ending?.kind === 'reset' && ending.reason === 'flow-control-violation')
        fail(`${name} broke the rules of credit`)
    }
  }
}

function checkSide({ sides, tunnels, fail }: World, role: Role): void {
  const { session, budget, over } = sides[role]
  let open = 0
  let waiting = 0
  for (const tunnel of tunnels) {
    const socket = role === 'server' ? tunnel.client : tunnel.target
    if (!socket) continue
    if (!socket.ending) open++
    waiting += backlogOf(socket) + heldOf(socket) + (socket.connection?.earlyBytes ?? 0)
  }
  if (session.connectionCount() !== open) fail(`the ${role} counts ${session.connectionCount()} of ${open} connections`)
  const dials = tunnels.filter((it) => (role === 'server' ? it.dial : it.asked) === 'pending').length
  if (session.dialCount() !== dials) fail(`the ${role} counts ${session.dialCount()} of ${dials} dials`)
  if (budget.usedBytes !== waiting) fail(`the ${role} counts ${budget.usedBytes} of ${waiting} bytes waiting`)
  const counted = budget.parent === undefined || budget.parent.children.has(budget)
  if (over && counted !== waiting > 0)
    fail(`the ${role}'s budget is counted: ${counted}, with ${waiting} bytes waiting`)
}

/** What a sender may have under way is spoken for to the byte: still to send, waiting here, or owed to the sender. */
function checkWindow({ fail }: World, name: string, { window, backlog, early, receiving, over }: Connection): void {
  if (over || receiving === 'ended') return
  let earlyBytes = 0
  for (const { first } of early?.byWay.values() ?? []) {
    for (let place: typeof first | undefined = first; place; place = place.next) {
      if (place.frame.kind === 'data') earlyBytes += place.frame.bytes.length
    }
  }
  const known = window.allowance + window.owed + backlog + earlyBytes
  if (known !== window.size) fail(`the window of ${name} has ${window.size} bytes, of which ${known} are known`)
}
