/**
 * Shares an HTTP/2 connection among its calls, in rounds: each call hands over one piece, and nobody a second one before all
 * pieces of the round have left. HTTP/2 as Node has it serves the oldest stream for as long as that one has something to
 * send: left to itself, one download would hold up every call that began later. A piece whose own client does not read it
 * holds up nobody. Pure; a turn takes the same time among ten calls and ten thousand.
 */

/** Handed over in one round, by all calls together: bytes. More would stand in front of a call that wants to send next. */
const ROUND_BYTES = 256 * 1024
/** The least that a call hands over, however many there are: bytes. */
const PIECE_BYTES = 8 * 1024
/**
 * Handed over in one round by calls that came when it had begun: bytes. Without an end to that, calls that come one after
 * the other would make it last for ever.
 */
const LATE_BYTES = 256 * 1024
/**
 * Between two looks at pieces that have not left while others wait: milliseconds. Twice as long from look to look while
 * nothing leaves: a client may read nothing for hours.
 */
const LOOK_MS = 2
const MOST_LOOK_MS = 256

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
  /** @param hand hands over a piece of at most so many bytes, or a little more. @returns its bytes, 0 if there was none */
  readonly join: (hand: (mostBytes: number) => number) => Turn
  /** The connection is gone. */
  readonly end: () => void
}

type Member = {
  readonly hand: (mostBytes: number) => number
  /** idle: wants nothing; sending: its piece has not left; stalled: nor will it soon, and nobody waits for that. */
  state: 'idle' | 'waiting' | 'sending' | 'stalled'
  /** The round in which it had its turn. */
  served: number
}

export function createTurns({ open, later, after }: TurnsOptions): Turns {
  const waiting = new Set<Member>() // for the next round, in the order in which they came
  const sending = new Set<Member>()
  let round = 0
  let lateBytes = 0
  let looking = false
  let nextLook: Disposable | undefined
  let lookMs = LOOK_MS
  let gone = false

  /** @returns the bytes that it handed over */
  function serve(member: Member): number {
    member.served = round
    member.state = 'sending'
    sending.add(member)
    const bytes = member.hand(Math.max(PIECE_BYTES, Math.floor(ROUND_BYTES / (waiting.size + sending.size))))
    if (bytes === 0) settle(member)
    return bytes
  }

  function settle(member: Member): void {
    sending.delete(member)
    member.state = 'idle'
  }

  /** Begins the next round when this one is over, else sees to it that somebody looks when it is. */
  function deal(): void {
    if (sending.size === 0) beginRound()
    if (waiting.size > 0) nextLook ??= after(lookMs, lookAgain)
  }

  function beginRound(): void {
    round++
    lateBytes = 0
    for (const member of waiting) {
      if (member.served === round) break // it has had its turn, and come again
      waiting.delete(member)
      serve(member)
    }
  }

  function look(): void {
    looking = false
    stopLooking()
    if (waiting.size === 0) return
    if (open()) {
      for (const member of sending) member.state = 'stalled'
      sending.clear()
    }
    deal()
  }

  function lookAgain(): void {
    lookMs = Math.min(2 * lookMs, MOST_LOOK_MS)
    look()
  }

  function lookLater(): void {
    lookMs = LOOK_MS
    if (looking) return
    looking = true
    later(look)
  }

  function stopLooking(): void {
    nextLook?.[Symbol.dispose]()
    nextLook = undefined
  }

  return {
    join(hand) {
      const member: Member = { hand, state: 'idle', served: 0 }
      return {
        want() {
          if (gone || member.state !== 'idle') return
          if (sending.size > 0 && member.served !== round && lateBytes < LATE_BYTES) {
            lateBytes += serve(member)
            return
          }
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
      gone = true
      stopLooking()
      waiting.clear()
    },
  }
}
