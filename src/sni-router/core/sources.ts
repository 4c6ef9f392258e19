/** Members of sources of connections, so that one source can be given its share and no more. Pure. */

export type Groups<Member> = {
  /** One that is in a group already moves, and counts as the newest there. */
  readonly add: (member: Member, group: string) => void
  readonly delete: (member: Member) => void
  readonly size: () => number
  readonly sizeOf: (group: string) => number
  readonly oldestOf: (group: string) => Member | undefined
  /** The oldest of the group that has most; of several such the one that is there longest. */
  readonly oldestOfLargest: () => Member | undefined
  readonly all: () => Iterable<Member>
}

export function createGroups<Member>(): Groups<Member> {
  const groups = new Map<string, Set<Member>>() // both in the order in which they came
  const groupOf = new Map<Member, string>()

  function leave(member: Member): void {
    const group = groupOf.get(member)
    if (group === undefined) return
    groupOf.delete(member)
    const members = groups.get(group)
    members?.delete(member)
    if (members?.size === 0) groups.delete(group)
  }
  function oldest(members: ReadonlySet<Member> | undefined): Member | undefined {
    return members?.values().next().value
  }
  return {
    add(member, group) {
      leave(member)
      groupOf.set(member, group)
      const members = groups.get(group)
      if (members) members.add(member)
      else groups.set(group, new Set([member]))
    },
    delete: leave,
    size: () => groupOf.size,
    sizeOf: (group) => groups.get(group)?.size ?? 0,
    oldestOf: (group) => oldest(groups.get(group)),
    oldestOfLargest() {
      let largest: ReadonlySet<Member> | undefined
      for (const members of groups.values()) if (members.size > (largest?.size ?? 0)) largest = members
      return oldest(largest)
    },
    all: () => groupOf.keys(),
  }
}
