/**
 * Shares an HTTP/2 connection among its calls, in rounds: each call hands over one piece, and nobody a second one before all
 * pieces of the round have left. HTTP/2 as Node has it serves the oldest stream for as long as that one has something to
 * send: left to itself, one download would hold up every call that began later. A piece whose own client does not read it
 * holds up nobody. Pure.
 */

/** Handed over in one round, by all calls together: bytes. More would stand in front of a call that wants to send next. */
const ROUND_BYTES = 256 * 1024
/** The least that a call hands over, however many there are: bytes. */
const PIECE_BYTES = 8 * 1024
/** Between two looks at pieces that have not left while others wait: milliseconds. */
const LOOK_MS = 2

export type TurnsOptions = {
  /** Whether the connection takes more. What has not left then waits for its own client. */
  readonly open: () => boolean
  /** Calls back when the connection has tried to send what it has been given. */
  readonly later: (callback: () => void) => void
  readonly after: (ms: number, callback: () => void) => Disposable
}

export type Turn = {
  /** There is something to send: `hand` is called, perhaps at once. */
  readonly want: () => void
  /** The piece that was handed over has left. */
  readonly left: () => void
  /** The call is over. */
  readonly leave: () => void
}

export type Turns = {
  /** @param hand hands over a piece of at most so many bytes, or a little more. @returns whether there was one */
  readonly join: (hand: (mostBytes: number) => boolean) => Turn
  /** The connection is gone. */
  readonly end: () => void
}

type Member = {
  readonly hand: (mostBytes: number) => boolean
  /** idle: wants nothing; sending: its piece has not left; stalled: nor will it soon, and nobody waits for that. */
  state: 'idle' | 'waiting' | 'sending' | 'stalled'
  /** The round in which it had its turn. */
  served: number
}

export function createTurns({ open, later, after }: TurnsOptions): Turns {
  const waiting = new Set<Member>() // in the order in which they came
  const sending = new Set<Member>()
  let round = 1
  let looking = false
  let nextLook: Disposable | undefined

  function deal(): void {
    if (sending.size === 0 && waiting.size > 0) round++
    for (const member of [...waiting]) {
      if (member.served === round || member.state !== 'waiting') continue
      waiting.delete(member)
      member.served = round
      member.state = 'sending'
      sending.add(member)
      const share = Math.max(PIECE_BYTES, Math.floor(ROUND_BYTES / (waiting.size + sending.size)))
      if (!member.hand(share)) settle(member)
    }
    if (waiting.size > 0 && sending.size > 0) nextLook ??= after(LOOK_MS, look)
  }

  function settle(member: Member): void {
    sending.delete(member)
    member.state = 'idle'
  }

  function look(): void {
    looking = false
    nextLook?.[Symbol.dispose]()
    nextLook = undefined
    if (waiting.size === 0) return
    if (sending.size > 0 && open()) {
      for (const member of sending) member.state = 'stalled'
      sending.clear()
    }
    deal()
  }

  function lookLater(): void {
    if (looking) return
    looking = true
    later(look)
  }

  return {
    join(hand) {
      const member: Member = { hand, state: 'idle', served: 0 }
      return {
        want() {
          if (member.state !== 'idle') return
          member.state = 'waiting'
          waiting.add(member)
          deal()
        },
        left() {
          settle(member)
          lookLater()
        },
        leave() {
          waiting.delete(member)
          settle(member)
          lookLater()
        },
      }
    },
    end() {
      nextLook?.[Symbol.dispose]()
      waiting.clear()
      sending.clear()
    },
  }
}
