/** So many under way at once and no more: who comes later waits, and begins in the order in which they came. */

/**
 * Begins now or when there is room; the place is given back by `done`, and taken at the end of this turn of the event loop: of many who are
 * disposed of one after the other, none begins in place of the one before. Disposing takes back who still waits, and disposes of
 * what has begun, which calls `done` itself if it ends by that.
 */
export type Turns = (begin: (done: () => void) => Disposable) => Disposable

export function createTurns(most: number): Turns {
  const waiting = new Set<() => void>()
  let underWay = 0

  function next(): void {
    for (const start of waiting) {
      if (underWay >= most) return
      waiting.delete(start)
      start()
    }
  }

  return (begin) => {
    let begun: Disposable | undefined
    const start = (): void => {
      let isDone = false
      underWay++
      begun = begin(() => {
        if (isDone) return
        isDone = true
        underWay--
        queueMicrotask(next)
      })
    }
    waiting.add(start)
    next()
    return {
      [Symbol.dispose]() {
        waiting.delete(start)
        begun?.[Symbol.dispose]()
      },
    }
  }
}
