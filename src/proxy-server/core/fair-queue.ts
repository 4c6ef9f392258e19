/**
 * Who waits for a turn. Sources take turns, whoever came first from each; so one source, however much comes from it, makes others wait
 * for one of its own and not for all. Of too many the source that has most waiting gives one up. Pure.
 */

export type FairQueue<Item> = {
  /** @returns who has to go for it: nobody, itself, or somebody who waits */
  readonly add: (item: Item, source: string) => Item | undefined
  /** Whose turn it is, who waits no longer then. */
  readonly take: () => Item | undefined
  readonly delete: (item: Item, source: string) => void
  readonly size: () => number
}

/**
 * @param most that may wait
 * @param isStale whether somebody has waited in vain: of the source that gives one up he goes first
 */
export function createFairQueue<Item>(most: number, isStale: (item: Item) => boolean): FairQueue<Item> {
  const sources = new Map<string, Item[]>() // the source whose turn it is comes first, each in the order of arrival
  let size = 0

  /** Behind all others of its source, which may be the largest itself, and goes before somebody else's equal. */
  function largest(newest: string): string {
    let found = newest
    for (const [source, items] of sources) if (items.length > sources.get(found)!.length) found = source
    return found
  }

  function remove(source: string, index: number): Item | undefined {
    const items = sources.get(source)
    const [item] = items?.splice(index, 1) ?? []
    if (item !== undefined) size--
    if (items?.length === 0) sources.delete(source)
    return item
  }

  return {
    add(item, source) {
      const items = sources.get(source)
      if (items) items.push(item)
      else sources.set(source, [item])
      size++
      if (size <= most) return undefined
      const from = largest(source)
      return remove(from, isStale(sources.get(from)![0]!) ? 0 : -1)
    },
    take() {
      const [next] = sources
      if (!next) return undefined
      const [source, items] = next
      sources.delete(source)
      sources.set(source, items) // behind the others
      return remove(source, 0)
    },
    delete(item, source) {
      const index = sources.get(source)?.indexOf(item) ?? -1
      if (index >= 0) remove(source, index)
    },
    size: () => size,
  }
}
