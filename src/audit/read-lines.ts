/** The lines of a file of any size, as bytes, none of them held beyond the longest that there may be. */
import { createReadStream } from 'node:fs'
import { TunnelError } from '../platform/errors.ts'

const LINE_END = 0x0a

export type Lines = {
  /** Without its end; a view that is overwritten. */
  readonly line: (bytes: Uint8Array) => void
  /** What is behind the last line end, if there is something; of a line that is too long, what was kept of it. */
  readonly rest: (bytes: number) => void
}

/** @throws TunnelError `bad-option` when the file cannot be read */
export async function readLines(path: string, maxBytes: number, { line, rest }: Lines): Promise<void> {
  let held: Buffer = Buffer.alloc(0)
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
      let bytes: Buffer = held.length > 0 ? Buffer.concat([held, chunk as Buffer]) : (chunk as Buffer)
      for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END)) {
        line(bytes.subarray(0, end))
        bytes = bytes.subarray(end + 1)
      }
      if (bytes.length > maxBytes) return rest(bytes.length)
      held = bytes
    }
  } catch (cause) {
    throw new TunnelError('bad-option', `could not read ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause })
  }
  if (held.length > 0) rest(held.length)
}
