/** Server-sent events out of the bytes of an answer (WHATWG HTML, section 9.2.6), as far as a hub sends them. */

export type ServerEvent = { readonly id: string | undefined; readonly type: string; readonly data: string }

/** Longest event: characters. */
const MAX_EVENT_CHARS = 16 * 1024 * 1024

/** @returns takes the next piece of text, gives the events that it completed. @throws Error for one that is too long */
export function eventReader(): (text: string) => ServerEvent[] {
  let held = ''
  return (text) => {
    held += text
    const blocks = held.split('\n\n')
    held = blocks.pop() ?? ''
    if (held.length > MAX_EVENT_CHARS) throw new Error('an event of the hub is too long')
    return blocks.flatMap(readEvent)
  }
}

function readEvent(block: string): ServerEvent[] {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const [, name, value = ''] = /^([a-z]+): ?(.*)$/.exec(line) ?? []
    if (name !== undefined) fields.set(name, fields.has(name) ? `${fields.get(name)}\n${value}` : value)
  }
  const data = fields.get('data')
  return data === undefined ? [] : [{ id: fields.get('id'), type: fields.get('event') ?? 'message', data }]
}
