/**
 * The small part of YAML that our samples are written in: maps and lists in block style, by spaces, plain scalars, comments.
 * All else is refused, so that a sample cannot mean something other to a real parser: quotes, tabs, flow style, anchors.
 */

export type Value = string | readonly Value[] | { readonly [key: string]: Value }
type Line = { readonly number: number; readonly indent: number; readonly text: string }

/** @throws Error that names the line */
export function readYaml(text: string): Value {
  const lines = text.split('\n').flatMap((raw, index): Line[] => {
    const content = raw.replace(/(^|\s)#.*$/, '').trimEnd()
    const indent = content.length - content.trimStart().length
    const line = { number: index + 1, indent, text: content.trimStart() }
    if (content.includes('\t')) throw problem(line, 'has a tab')
    return content === '' ? [] : [line]
  })
  const { value, rest } = readBlock(lines)
  if (rest[0]) throw problem(rest[0], 'is indented less than what it belongs to')
  return value
}

type Read = { readonly value: Value; readonly rest: readonly Line[] }

function readBlock(lines: readonly Line[]): Read {
  const [first] = lines
  if (!first) throw new Error('expected more lines')
  return first.text.startsWith('- ') ? readList(lines, first.indent) : readMap(lines, first.indent)
}

function readList(lines: readonly Line[], indent: number): Read {
  const value: Value[] = []
  let rest = lines
  while (rest[0]?.indent === indent && rest[0].text.startsWith('- ')) {
    const { number, text } = rest[0]
    const item = readBlock([{ number, indent: indent + 2, text: text.slice(2) }, ...rest.slice(1)])
    value.push(item.value)
    rest = item.rest
  }
  return { value, rest }
}

function readMap(lines: readonly Line[], indent: number): Read {
  const value: Record<string, Value> = {}
  let rest = lines
  while (rest[0]?.indent === indent) {
    const line = rest[0]
    const [, key, scalar] = /^([A-Za-z]+):(?: ([^\s"'&*!|>%@`{[,-][^\t]*))?$/.exec(line.text) ?? []
    if (key === undefined) throw problem(line, 'is no plain key with a plain value')
    if (Object.hasOwn(value, key)) throw problem(line, 'repeats a key')
    rest = rest.slice(1)
    if (scalar !== undefined) {
      value[key] = scalar
      continue
    }
    if (!rest[0] || rest[0].indent <= indent) throw problem(line, 'has no value')
    const inner = readBlock(rest)
    value[key] = inner.value
    rest = inner.rest
  }
  if (rest[0] && rest[0].indent > indent) throw problem(rest[0], 'is indented more than what it belongs to')
  return { value, rest }
}

function problem({ number, text }: Line, what: string): Error {
  return new Error(`line ${number} ${what}: ${text}`)
}
