/**
 * Reads a certificate's subject alternative names from the one line in which Node prints them:
 *
 *   DNS:hub.example, IP Address:10.0.0.7, URI:"spiffe://hub.example/user/a\u002c URI:b"
 *
 * A value with a comma, quote, backslash or control character is printed as a JSON string, since CVE-2021-44532. What
 * departs from that is not read at all: a lenient reader here would let one name pass as two.
 */

export type AlternativeName = { readonly kind: string; readonly value: string }

const ENTRY = /([A-Za-z][A-Za-z0-9 ]*):(?:("(?:[^"\\]|\\.)*")|([^",\\]*))(?:, (?!$)|$)/y

/** @returns the names in their order, or undefined when the line is not of this form */
export function alternativeNames(line: string): readonly AlternativeName[] | undefined {
  const names: AlternativeName[] = []
  let at = 0
  while (at < line.length) {
    ENTRY.lastIndex = at
    const [entry, kind, quoted, plain] = ENTRY.exec(line) ?? []
    const value = quoted === undefined ? plain : unquoted(quoted)
    if (entry === undefined || kind === undefined || value === undefined) return undefined
    names.push({ kind, value })
    at += entry.length
  }
  return names
}

export function uriNames(line: string): readonly string[] | undefined {
  return alternativeNames(line)?.flatMap(({ kind, value }) => (kind === 'URI' ? [value] : []))
}

function unquoted(text: string): string | undefined {
  try {
    return String(JSON.parse(text))
  } catch {
    return undefined
  }
}
