/**
 * The lanes that agents may still open: a token for each, random, good once, for a short time, and only for whoever showed
 * the certificate of the stream that it was given over. Source: docs/protocol.md section 10.
 */
import { randomBytes } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../platform/clock.ts'
import { TOKEN_BYTES } from '../tunnel/lane.ts'

/** Enough for a handshake that waits its turn behind a whole fleet's: milliseconds. */
export const TOKEN_LIFE_MS = 30_000

export type LaneJoin = (socket: TLSSocket) => void

export type LaneTokens = {
  /** @param gone it was not used in time. @returns the token; disposing it takes it back, without a word */
  readonly give: (principal: string, join: LaneJoin, gone: () => void) => Disposable & { readonly token: Buffer }
  /** Takes the token out: what it is good for, or why it is good for nothing. */
  readonly take: (token: Buffer, principal: string) => LaneJoin | 'unknown' | 'foreign'
}

export function createLaneTokens(clock: Clock): LaneTokens {
  const given = new Map<string, { readonly principal: string; readonly join: LaneJoin; readonly timer: Disposable }>()

  function remove(key: string): void {
    given.get(key)?.timer[Symbol.dispose]()
    given.delete(key)
  }

  return {
    give(principal, join, gone) {
      const token = randomBytes(TOKEN_BYTES)
      const key = token.toString('hex')
      const timer = clock.after(TOKEN_LIFE_MS, () => {
        remove(key)
        gone()
      })
      given.set(key, { principal, join, timer })
      return { token, [Symbol.dispose]: () => remove(key) }
    },
    take(token, principal) {
      const key = token.toString('hex')
      const entry = given.get(key)
      if (!entry) return 'unknown'
      if (entry.principal !== principal) return 'foreign' // and stays good for whom it was given to
      remove(key)
      return entry.join
    },
  }
}
