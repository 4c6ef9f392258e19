/**
 * Values of flags as Go reads them: booleans by strconv.ParseBool, whole numbers by its ParseInt and ParseUint, lists by pflag's
 * StringSlice, which is a line of encoding/csv. Pure.
 */

/** As the option kit wants it: the value, or what was expected. */
export function parseBoolean(text: string): { readonly value: boolean } | { readonly expected: string } {
  if (['1', 't', 'T', 'true', 'True', 'TRUE'].includes(text)) return { value: true }
  if (['0', 'f', 'F', 'false', 'False', 'FALSE'].includes(text)) return { value: false }
  return { expected: 'true or false' }
}

/** int64 and uint64: also `0x1F`, `0o17` or `017`, `0b11`, and `1_000`. decimal32: as klog reads its levels. */
export type IntegerForm = keyof typeof FORMS

const DIGITS = '(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+|0|[1-9](?:_?[0-9])*)'
const FORMS = {
  int64: { pattern: new RegExp(`^[+-]?${DIGITS}$`), min: -(2n ** 63n), max: 2n ** 63n - 1n },
  uint64: { pattern: new RegExp(`^${DIGITS}$`), min: 0n, max: 2n ** 64n - 1n },
  decimal32: { pattern: /^[+-]?[0-9]+$/, min: -(2n ** 31n), max: 2n ** 31n - 1n },
}

export type GoInteger =
  | { readonly kind: 'integer'; readonly value: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'out of range'; readonly bits: string }

/** A value that no double can hold is the nearest one that can. */
export function readGoInteger(text: string, form: IntegerForm): GoInteger {
  const { pattern, min, max } = FORMS[form]
  if (!pattern.test(text)) return { kind: 'none' }
  const digits = text.replace(/^[+-]/, '').replaceAll('_', '').toLowerCase()
  const isOctal = form !== 'decimal32' && /^0\d/.test(digits)
  const size = BigInt(isOctal ? `0o${digits}` : digits)
  const value = text.startsWith('-') ? -size : size
  if (value < min || value > max) return { kind: 'out of range', bits: form.slice(-2) }
  return { kind: 'integer', value: Number(value) }
}

/** One item up to its comma, the end of the line or of the text; quoted, it may hold commas, and quotes by twos. */
const ITEM = /(?:"((?:[^"]|"")*)"|([^",\n]*?))(,|\r?\n|\r?$)/y

/** Blanks and empty items are kept. What follows the first line is ignored. Undefined: it is no such line. */
export function readCommaList(text: string): string[] | undefined {
  const items: string[] = []
  if (text === '') return items
  ITEM.lastIndex = 0
  for (let end = ','; end === ','; ) {
    const [all, quoted, plain = '', terminator = ''] = ITEM.exec(text) ?? []
    if (all === undefined) return undefined
    items.push(quoted?.replaceAll('""', '"') ?? plain)
    end = terminator
  }
  return items
}
