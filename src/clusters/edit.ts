/**
 * Adds a document to the text of a clusters file, and removes one. The rest of the text stays as people wrote it, byte for byte: comments,
 * order, quotes. Pure.
 */
import { Composer, Parser, stringify } from 'yaml'
import type { ClusterDocument } from './schema.ts'

export function withDocument(text: string, document: ClusterDocument): string {
  const added = stringify(document, { lineWidth: 0 })
  if (text.trim() === '') return added
  return `${text}${text.endsWith('\n') ? '' : '\n'}---\n${added}`
}

export type Left = { readonly text: string; readonly documents: number }

/**
 * Without the documents of this id, and the comments in them.
 *
 * @param text that can be read
 * @returns undefined when there is none
 */
export function withoutDocument(text: string, id: string): Left | undefined {
  const tokens = [...new Parser().parse(text)]
  const starts = tokens.flatMap((token) => ('offset' in token ? [token.offset] : []))
  let left = ''
  let documents = 0
  let removed = false
  tokens.forEach((token, index) => {
    const part = text.slice(starts[index], starts[index + 1] ?? text.length)
    const its = token.type === 'document' ? idOf(token) : undefined
    if (its === id) removed = true
    else {
      left += part
      if (its !== undefined) documents++
    }
  })
  return removed ? { text: left.replace(/^---\n/, ''), documents } : undefined
}

type DocumentToken = Parameters<Composer['compose']>[0] extends Iterable<infer Token> ? Token : never

function idOf(token: DocumentToken): string | undefined {
  for (const document of new Composer().compose([token])) {
    const value = document.toJS() as { readonly id?: unknown } | null
    return value === null ? undefined : String(value.id)
  }
  return undefined
}
