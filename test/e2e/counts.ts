/** The counts that close a run: tap's into ours. */

export type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number }

/** From tap's closing comment, `# { total: 10, pass: 6, fail: 2, skip: 2 }`, where what is zero is absent. */
export function readCounts(line: string): Counts | undefined {
  if (!/^# \{ total: \d+(?:, [a-z]+: \d+)* \}$/.test(line)) return undefined
  const count = (name: string): number => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0)
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') }
}

export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
