/**
 * What clients have sent and the tunnel does not take, because their targets do not: it lies in the streams of those who are not
 * read, where nobody hears of it as it comes. So it is looked at again and again, and counted with all else that waits; when that is
 * too much, whoever has most gives it up. Pure.
 */
import { type Budget, spend, spendWithin } from '../../tunnel/budget.ts'

/** Between two looks, while anybody is watched: milliseconds. */
const LOOK_MS = 100

/** One that may have unread bytes. */
export type Unread = {
  /** Looks at it from now on, or no longer. */
  readonly watch: (on: boolean) => void
}

export type UnreadBytes = {
  /**
   * @param bytes how many there are now
   * @param giveUp lets go of them, and ends. Once at most
   */
  readonly join: (bytes: () => number, giveUp: () => void) => Unread
}

type Member = { readonly bytes: () => number; readonly giveUp: () => void; counted: number }

/** @param budget of its own; what it gives up is decided here */
export function createUnreadBytes(
  budget: Budget,
  after: (ms: number, callback: () => void) => Disposable,
): UnreadBytes {
  const watched = new Set<Member>()
  let looking = false

  function count(member: Member, bytes: number): void {
    spend(budget, bytes - member.counted)
    member.counted = bytes
  }

  function look(): void {
    for (const member of watched) {
      count(member, member.bytes())
      spendWithin(budget, 0)
    }
    looking = watched.size > 0
    if (looking) after(LOOK_MS, look)
  }

  budget.closeLargest = () => {
    let most: Member | undefined
    for (const member of watched) if (member.counted > (most?.counted ?? 0)) most = member
    if (!most) return
    forget(most)
    most.giveUp()
  }

  function forget(member: Member): void {
    watched.delete(member)
    count(member, 0)
  }

  return {
    join(bytes, giveUp) {
      const member: Member = { bytes, giveUp, counted: 0 }
      return {
        watch(on) {
          if (!on) return forget(member)
          watched.add(member)
          if (looking) return
          looking = true
          after(LOOK_MS, look)
        },
      }
    },
  }
}
