/** The server's end of a tunnel of the model that belongs to a call: it looks on, and checks what the call is told. */
import { Buffer } from 'node:buffer'
import type { Connection, ConnectionEvents } from '../../../../src/tunnel/connection.ts'
import { patternAt } from '../../../tunnel/model/pattern.ts'
import type { ModelSocket, Plan } from '../../../tunnel/model/socket.ts'
import type { Tunnel } from '../../../tunnel/model/tunnel.ts'
import type { World } from '../../../tunnel/model/world.ts'

/** What a client sends is not planned at the server. */
export const unplanned: Plan = { totalBytes: 0, endless: true, sink: 'fast' }

export function createCallEnd(
  { fail }: World,
  { random }: Tunnel,
  connection: Connection,
  call: ConnectionEvents,
): ModelSocket {
  const name = `client ${random}`

  const alive = (what: string): void => {
    if (end.ending) fail(`${name} heard ${what} after it was over`)
  }

  const end: ModelSocket = {
    name,
    plan: unplanned,
    connection,
    sent: 0,
    reading: true,
    get sourceEnded() {
      return connection.sending !== 'open'
    },
    received: 0,
    get taken() {
      return end.received - connection.backlog
    },
    sinkEnded: false,
    stalled: false,
    windingUp: false,
    ending: undefined,
    gaveUp: false,
    broken: false,
    get closedByOwner() {
      return end.ending?.kind === 'reset' && OWN_REASONS.has(end.ending.reason)
    },
    get left() {
      return end.sourceEnded
    },
    events: {
      data(bytes) {
        alive('data')
        const expected = patternAt(random * 2 + 1, end.received, bytes.length)
        if (Buffer.compare(expected, bytes) !== 0) fail(`${name} heard bytes of another target, at ${end.received}`)
        end.received += bytes.length
        call.data(bytes)
      },
      end() {
        alive('end')
        end.sinkEnded = true
        call.end()
      },
      resume() {
        alive('resume')
        call.resume()
      },
      over(ending) {
        alive('over')
        end.ending = ending
        call.over(ending)
      },
      giveUp() {
        end.gaveUp = true
        call.giveUp()
      },
    },
    steps: () => {},
    cutOff: () => {},
    break: () => {},
    leave: () => {},
  }
  return end
}

const OWN_REASONS: ReadonlySet<string> = new Set(['client-lost', 'mismatched-connection-ids'])
