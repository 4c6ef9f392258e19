/** What a hub has answered, as a value and as text again. Agents choose some of the words: none of them is to steer a terminal. */
import { Document, visit } from 'yaml'
import { TunnelError } from '../platform/errors.ts'
import { escaped } from '../platform/plain-text.ts'

/** @throws TunnelError `no-answer` for what is no JSON */
export function readAnswer(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TunnelError('no-answer', 'the answer is no JSON: is it the admin port of a proxy-server?', { cause })
  }
}

export const jsonOf = (value: unknown, indent = 0): string => plain(JSON.stringify(value, null, indent))

/** Ends with the end of a line. */
export function yamlOf(value: unknown): string {
  const document = new Document(value)
  visit(document, {
    Scalar(_, node) {
      // Only between double quotes YAML has the escapes of JSON.
      if (typeof node.value === 'string' && escaped(node.value) !== node.value) node.type = 'QUOTE_DOUBLE'
    },
  })
  return plain(document.toString())
}

/** The ends of lines are ours: in a text they are escaped already. */
const plain = (text: string): string => text.split('\n').map(escaped).join('\n')
