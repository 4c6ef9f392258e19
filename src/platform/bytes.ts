/** Sizes as people write them ("64MiB", "16KiB", "512") to bytes and back. */

const UNIT_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

/** Whole bytes; undefined when `text` is no size. Kubernetes' short forms Ki, Mi and Gi are taken too. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+)(B|[KMG]i(?:B)?)?$/.exec(text)
  if (match === null) return undefined
  const unit = match[2] ?? 'B'
  const bytes = Number(match[1]) * (UNIT_BYTES[unit.endsWith('i') ? `${unit}B` : unit] ?? Number.NaN)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The largest unit that gives a whole number. */
export function formatBytes(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = UNIT_BYTES[unit] ?? 1
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return `${bytes}B`
}
