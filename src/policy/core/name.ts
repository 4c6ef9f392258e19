/**
 * Host names and patterns of them, in the one form in which they are compared. Pure.
 *
 * Names that end in a number are the octal, hexadecimal and short forms of IPv4 addresses. The C library would take them,
 * Go does not, and a policy that reads names must not be led past by "0xa9fea9fe".
 */

const MAX_NAME_CHARS = 253

/** Lower case, without the final dot; undefined for what is no name, an address in whatever form included. */
export function canonicalName(text: string): string | undefined {
  const given = text.slice(0, MAX_NAME_CHARS + 2).replace(/\.$/, '')
  if (given.length > MAX_NAME_CHARS || !/^[\w~-]+(?:\.[\w~-]+)*$/.test(given)) return undefined
  const name = given.toLowerCase() // now that it is ASCII: there are other letters that become one
  return /(?:^|\.)(?:\d+|0x[\da-f]*)$/.test(name) ? undefined : name
}

/** A name; `*.example.com` for all below it, at any depth, but not itself; `*` for every name. */
export function canonicalPattern(text: string): string | undefined {
  if (text === '*') return text
  const below = text.startsWith('*.')
  const name = canonicalName(below ? text.slice(2) : text)
  return name === undefined ? undefined : `${below ? '*.' : ''}${name}`
}

/** @param pattern and `name` in their canonical forms */
export function isNamedBy(pattern: string, name: string): boolean {
  if (pattern === '*') return true
  return pattern.startsWith('*.') ? name.endsWith(pattern.slice(1)) : name === pattern
}
