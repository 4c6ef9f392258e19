/**
 * The labels of a lease as a flag gives them: `key=value,key=value`. Pure. What is no such list is reported in konnectivity's
 * words; what is one and no API server would store, in ours. Source: Kubernetes, "Labels and Selectors", syntax.
 */

export type Labels = Readonly<Record<string, string>>
export type ParsedLabels = { readonly labels: Labels } | { readonly problem: string }

const MAX_PREFIX_CHARS = 253
const MAX_NAME_CHARS = 63
const NAME = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/
const PREFIX = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/

/** Blanks around keys and values are left out; of a key that is given twice the last value counts. */
export function parseLabels(text: string): ParsedLabels {
  if (text === '') return { problem: 'empty string provided' }
  const labels: Record<string, string> = {}
  for (const pair of text.split(',')) {
    const [key = '', value, ...rest] = pair.split('=').map((part) => part.trim())
    if (value === undefined || rest.length > 0) return { problem: `invalid label format: ${pair}` }
    const problem = keyProblem(key) ?? valueProblem(value)
    if (problem !== undefined) return { problem }
    labels[key] = value
  }
  return { labels }
}

/** As a selector of exactly these labels, in the order of their keys. */
export function labelsAsSelector(labels: Labels): string {
  const keys = Object.keys(labels).sort()
  return keys.map((key) => `${key}=${labels[key]}`).join(',')
}

/** Why this is no key of a label: `name`, or `prefix/name` with a DNS name in front. */
export function keyProblem(key: string): string | undefined {
  const parts = key.split('/')
  const name = parts.pop() ?? ''
  const [prefix] = parts
  const isKey =
    parts.length <= 1 &&
    name.length <= MAX_NAME_CHARS &&
    NAME.test(name) &&
    (prefix === undefined || (prefix.length <= MAX_PREFIX_CHARS && PREFIX.test(prefix)))
  if (isKey) return undefined
  return `expected a label key such as k8s-app or example.com/app, got ${JSON.stringify(key)}`
}

export function valueProblem(value: string): string | undefined {
  if (value === '' || (value.length <= MAX_NAME_CHARS && NAME.test(value))) return undefined
  const expected = `at most ${MAX_NAME_CHARS} letters, digits, dashes, underscores and dots`
  return `expected a label value of ${expected}, got ${JSON.stringify(value)}`
}
