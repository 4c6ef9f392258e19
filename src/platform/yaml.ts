/**
 * YAML (and so JSON) that people and other programs write, read within limits: bytes and depth; the core schema only; no
 * anchors, aliases, tags or directives (a short text could otherwise grow without end, or hold itself); keys are texts, each
 * once in its map. Every problem says file, line and what was expected. Pure; it never throws.
 *
 *   readYaml(text, { name: path }) → documents, each a plain value and a function from a JSON pointer to its line
 *
 * Empty documents (a trailing `---`, only comments) are left out.
 */
import { Composer, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, Parser, type YAMLMap } from 'yaml'

export type YamlLimits = {
  /** What the problems call the text: a path. */
  readonly name: string
  readonly maxBytes?: number
  /** Most maps and lists inside each other. */
  readonly maxDepth?: number
}
export type YamlDocument = {
  readonly name: string
  /** Made of plain objects, arrays, strings, numbers, booleans and null. */
  readonly value: unknown
  /** The line of what a JSON pointer such as `/rules/0/cidr` names, or of the nearest that exists around it. */
  readonly lineOf: (pointer: string) => number
}
export type ReadYaml =
  | { readonly ok: true; readonly documents: readonly YamlDocument[] }
  | { readonly ok: false; readonly problems: readonly string[] }

/** Longest text: bytes. */
export const MAX_YAML_BYTES = 1_048_576
const MAX_YAML_DEPTH = 32
/** More say nothing that the first did not. */
const MAX_PROBLEMS = 20

/** A part of the text as the parser sees it, whatever its kind. */
type Token = {
  readonly type: string
  readonly offset?: number
  readonly items?: readonly Item[]
  readonly value?: Token
} & { readonly [Part in (typeof TOKEN_PARTS)[number]]?: Token | readonly Token[] }
type Item = { readonly [Part in (typeof ITEM_PARTS)[number]]?: Token | readonly Token[] | null }
const TOKEN_PARTS = ['start', 'end', 'props'] as const
const ITEM_PARTS = ['start', 'key', 'sep', 'value'] as const

const REFUSED: Readonly<Record<string, string>> = {
  alias: 'expected no alias (*name): write the value out',
  anchor: 'expected no anchor (&name): write each value out',
  tag: 'expected no tag (!name): values are texts, numbers, booleans, lists and maps',
  directive: 'expected no directive (%NAME): this is YAML 1.2',
}

export function readYaml(text: string, limits: YamlLimits): ReadYaml {
  const { name, maxBytes = MAX_YAML_BYTES, maxDepth = MAX_YAML_DEPTH } = limits
  const bytes = Buffer.byteLength(text)
  if (bytes > maxBytes) return { ok: false, problems: [`${name}: expected at most ${maxBytes} bytes, got ${bytes}`] }
  const alone = text.search(/\r(?!\n)/) // a line break by the standard, and by JSON a blank; the parser has it in texts
  if (alone >= 0) {
    const line = text.slice(0, alone).split('\n').length
    return { ok: false, problems: [`${name}:${line}: expected lines that end with LF or CR LF, got a CR alone`] }
  }
  const lines = new LineCounter()
  const at = (offset: number, what: string): string => `${name}:${Math.max(lines.linePos(offset).line, 1)}: ${what}`
  try {
    const tokens = [...new Parser(lines.addNewLine).parse(text)]
    const refused = refusedTokens(tokens as Token[], maxDepth, at)
    if (refused.length > 0) return { ok: false, problems: refused }
    // The parser's own search for a key that comes twice takes the square of a map's size: ours is a set.
    const composer = new Composer({
      version: '1.2',
      schema: 'core',
      merge: false,
      uniqueKeys: false,
      logLevel: 'silent',
    })
    const composed = [...composer.compose(tokens)]
    const errors = composed.flatMap((document) => [...document.errors, ...document.warnings])
    const problems = errors.map(({ pos, message }) => at(pos[0], message))
    const values = composed.map(({ contents }) => plainValue(contents, at, problems))
    if (problems.length > 0) return { ok: false, problems: problems.slice(0, MAX_PROBLEMS) }
    const documents = composed.flatMap(({ contents }, index) =>
      contents === null || values[index] === null
        ? []
        : [
            {
              name,
              value: values[index],
              lineOf: (pointer: string) => lines.linePos(offsetOf(contents, pointer)).line,
            },
          ],
    )
    return { ok: true, documents }
  } catch (cause) {
    return { ok: false, problems: [`${name}: expected YAML: ${(cause as Error).message}`] }
  }
}

/** Looks at every token without a recursion, as what follows has one for each map and list. */
function refusedTokens(
  tokens: readonly Token[],
  maxDepth: number,
  at: (offset: number, what: string) => string,
): string[] {
  const problems: string[] = []
  const waiting = tokens.map((token) => ({ token, depth: 0 }))
  for (let next = waiting.pop(); next !== undefined && problems.length < MAX_PROBLEMS; next = waiting.pop()) {
    const { token } = next
    const depth = next.depth + (token.items === undefined ? 0 : 1)
    if (depth > maxDepth) {
      return [at(token.offset ?? 0, `expected at most ${maxDepth} maps and lists inside each other`)]
    }
    const refusal = REFUSED[token.type]
    if (refusal !== undefined) problems.push(at(token.offset ?? 0, refusal))
    const parts: (Token | readonly Token[] | null | undefined)[] = TOKEN_PARTS.map((part) => token[part])
    parts.push(token.value)
    for (const item of token.items ?? []) for (const part of ITEM_PARTS) parts.push(item[part])
    for (const part of parts) {
      for (const child of Array.isArray(part) ? part : [part]) {
        if (child?.type !== undefined) waiting.push({ token: child, depth })
      }
    }
  }
  return problems.reverse()
}

/** The depth is bounded before. */
function plainValue(node: unknown, at: (offset: number, what: string) => string, problems: string[]): unknown {
  if (isScalar(node)) return node.value
  if (isSeq(node)) return node.items.map((item) => plainValue(item, at, problems))
  if (!isMap(node)) return null
  const value: Record<string, unknown> = {}
  const seen = new Set<string>()
  for (const { key, value: held } of node.items) {
    const offset = offsetOfNode(key)
    const text = isScalar(key) ? key.value : undefined
    if (typeof text !== 'string') {
      problems.push(at(offset, 'expected a key that is a text: put it in quotes'))
    } else if (text === '__proto__') {
      problems.push(at(offset, 'expected another key than __proto__'))
    } else if (seen.has(text)) {
      problems.push(at(offset, `expected each key once, got ${JSON.stringify(text)} twice`))
    } else {
      seen.add(text)
      value[text] = plainValue(held, at, problems)
    }
  }
  return value
}

function offsetOf(root: unknown, pointer: string): number {
  const steps = pointer.split('/').slice(1)
  let node = root
  let offset = offsetOfNode(root)
  for (const step of steps) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    if (isSeq(node)) {
      node = node.items[Number(name)]
      if (node !== undefined) offset = offsetOfNode(node)
    } else if (isMap(node)) {
      const pair = pairOf(node, name)
      node = pair?.value
      if (pair !== undefined) offset = offsetOfNode(pair.key)
    } else {
      node = undefined
    }
    if (node === undefined || node === null) break
  }
  return offset
}

/** By key, made for a map when it is first asked: who asks for the line of each of its keys would else take the square of its size. */
const pairsOf = new WeakMap<YAMLMap, ReadonlyMap<unknown, Pair>>()

function pairOf(map: YAMLMap, name: string): Pair | undefined {
  const pairs = pairsOf.get(map) ?? new Map(map.items.map((pair) => [isScalar(pair.key) ? pair.key.value : pair, pair]))
  pairsOf.set(map, pairs)
  return pairs.get(name)
}

const offsetOfNode = (node: unknown): number => (node as Node | null)?.range?.[0] ?? 0
