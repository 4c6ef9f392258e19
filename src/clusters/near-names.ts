/** Which of many names somebody may have meant who wrote one that there is none of. Pure. */

/** So many are shown. */
const MAX_SHOWN = 5

/** Completes "there is no cluster x: …": the names that are most like it, or some of those that there are. */
export function nearNames(name: string, names: readonly string[]): string {
  if (names.length === 0) return 'there is none yet'
  const near = names
    .map((each) => ({ each, distance: distanceOf(name, each) }))
    .filter(({ each, distance }) => distance <= Math.max(1, name.length / 3) || isPartOf(name, each))
    .toSorted((a, b) => a.distance - b.distance)
    .map(({ each }) => each)
  if (near.length > 0) return `did you mean ${near.slice(0, MAX_SHOWN).join(' or ')}?`
  const more = names.length - MAX_SHOWN
  return `there are ${names.slice(0, MAX_SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const isPartOf = (name: string, other: string): boolean => name.length > 1 && other.includes(name)

/** Letters to add, to take away or to change, of one name to have the other (Levenshtein). */
function distanceOf(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (const [line, letter] of [...from].entries()) {
    const next = [line + 1]
    for (const [column, other] of [...to].entries()) {
      const changed = (row[column] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(changed, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
