/** So many under way at once and no more: who comes later waits, and begins in the order in which they came. */

/**
 * Begins now or when there is room; the place is given back by `done`. Disposing takes back who still waits, and disposes of
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
        next()
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
