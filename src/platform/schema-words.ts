/** What a JSON Schema expected, in words for people: those errors of ajv (`verbose`) that are about a value. Pure. */
import type { DefinedError } from 'ajv'

/** What texts are expected where their type or pattern is wrong, by the name of their field. */
export type TextWords = Readonly<Record<string, string>>

/** "expected …, got …"; of another keyword than these what ajv says. */
export function schemaWords(error: DefinedError, texts: TextWords): string {
  const { keyword, params, data } = error
  const text = texts[fieldName(error.instancePath)]
  const got = error.instancePath === '' ? shownWhole(data) : shown(data)
  switch (keyword) {
    case 'type':
      return `expected ${params.type === 'string' && text !== undefined ? text : typeWords(params.type)}, got ${got}`
    case 'pattern':
      return `expected ${text ?? `text like ${params.pattern}`}, got ${got}`
    case 'enum':
      return `expected one of ${params.allowedValues.join(', ')}, got ${got}`
    case 'minimum':
    case 'maximum':
      return `expected ${keyword === 'minimum' ? 'at least' : 'at most'} ${params.limit}, got ${got}`
    case 'minLength':
    case 'maxLength':
      return `expected ${lengthWords(keyword, params.limit, 'character')}, got ${(data as string).length}`
    case 'minItems':
    case 'maxItems':
      return `expected ${lengthWords(keyword, params.limit, 'item')}, got ${(data as readonly unknown[]).length}`
    default:
      return `${error.message ?? keyword}, got ${got}`
  }
}

const lengthWords = (keyword: string, limit: number, what: string): string =>
  `${keyword.startsWith('min') ? 'at least' : 'at most'} ${limit} ${what}${limit === 1 ? '' : 's'}`

const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'a map',
  array: 'a list',
  string: 'text',
  integer: 'a whole number',
}

/** ajv gives one, or several as text with commas or as a list. */
function typeWords(type: string | readonly string[]): string {
  return [type]
    .flat()
    .flatMap((each) => each.split(','))
    .map((each) => TYPE_WORDS[each] ?? each)
    .join(' or ')
}

/** The last step of a JSON pointer that is no index. */
const fieldName = (pointer: string): string => pointer.split('/').findLast((step) => !/^\d+$/.test(step)) ?? ''

const MAX_SHOWN_CHARS = 100

export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text
}

/** A document that is one text is another file given by mistake, and that may be a key or a token. */
const shownWhole = (document: unknown): string => (typeof document === 'object' ? shown(document) : 'a text alone')
