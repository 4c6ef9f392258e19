/** Names of hosts as TLS and configurations write them, in the one form in which they are compared. Pure. */

const MAX_NAME_BYTES = 253
/** RFC 1123 section 2.1, and the underscore that some names have. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** In lower case and without the dot at the end; undefined when it is no name. */
export function hostName(text: string): string | undefined {
  if (text.length > MAX_NAME_BYTES + 1) return undefined
  const name = text.toLowerCase().replace(/\.$/, '')
  if (name.length > MAX_NAME_BYTES || !name.split('.').every((label) => LABEL.test(label))) return undefined
  return name
}
