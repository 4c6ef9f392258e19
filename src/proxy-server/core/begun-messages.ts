/**
 * What clients, or agents, make this server hold with messages that they begin and do not finish: each call or stream may begin
 * one, of megabytes, and a peer may have them by the thousand. All together are bounded; what was begun first is given up first, because an
 * honest message is on its way for milliseconds. Pure. Source: docs/protocol.md section 12.
 */

/** Every client of ours sends its packets in one piece, or at least this much of one: that much is nobody's concern. Bytes. */
const FREE_BYTES = 64 * 1024

/** What all clients together, and all agents together, may make us hold in this way, or one message: bytes. */
export const BEGUN_BYTES = 64 * 1024 * 1024

export type BegunMessages = {
  /**
   * @param giveUp the call must let go of what it holds, and begins no other message. Once at most
   * @returns to be told how many bytes the call holds, whenever that changes; 0 at its end
   */
  readonly join: (giveUp: () => void) => (bytes: number) => void
}

/** @param mostBytes at least the longest message */
export function createBegunMessages(mostBytes: number): BegunMessages {
  const holders = new Map<() => void, number>() // by how they give up, in the order in which they began
  let total = 0

  function hold(giveUp: () => void, bytes: number): void {
    total += bytes - (holders.get(giveUp) ?? 0)
    if (bytes > 0) holders.set(giveUp, bytes)
    else holders.delete(giveUp)
  }

  return {
    join: (giveUp) => (bytes) => {
      hold(giveUp, bytes > FREE_BYTES ? bytes : 0)
      for (const oldest of holders.keys()) {
        if (total <= mostBytes) break
        hold(oldest, 0)
        oldest()
      }
    },
  }
}
