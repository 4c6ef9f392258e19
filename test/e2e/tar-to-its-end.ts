/**
 * tar for the pods of kwok, which does not hand the end of standard input on to a command: real tar waits for it for ever.
 * This one reads the archive to its end-of-archive blocks and then ends the input of the real tar itself.
 *
 *   node tar-to-its-end.ts <path of tar> <arguments of tar…>
 *
 * The archive is blocks of 512 bytes: a header, whose bytes 124..135 are the size in octal, then the content, padded; two
 * blocks of zeros end it. Source: POSIX.1-2024, pax, "ustar Interchange Format".
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

const BLOCK_BYTES = 512

/** Takes the next chunk and says whether the archive has ended. */
export function archiveEnd(): (chunk: Buffer) => boolean {
  let held = Buffer.alloc(0)
  let skip = 0
  let zeroBlocks = 0
  return (chunk) => {
    held = Buffer.concat([held, chunk])
    while (held.length > 0) {
      const skipped = Math.min(skip, held.length)
      skip -= skipped
      held = held.subarray(skipped)
      if (held.length < BLOCK_BYTES) break
      const header = held.subarray(0, BLOCK_BYTES)
      held = held.subarray(BLOCK_BYTES)
      zeroBlocks = header.every((byte) => byte === 0) ? zeroBlocks + 1 : 0
      if (zeroBlocks === 2) return true
      const size = Number.parseInt(header.toString('latin1', 124, 136), 8) || 0
      skip = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
    }
    return false
  }
}

if (import.meta.main) {
  const [, , tar = '', ...args] = process.argv
  const readsInput = args.some((arg) => /^-?[a-z]*x/.test(arg))
  const child = spawn(tar, args, { stdio: [readsInput ? 'pipe' : 'ignore', 'inherit', 'inherit'] })
  const exited = once(child, 'exit')
  if (child.stdin !== null) {
    const ended = archiveEnd()
    for await (const chunk of process.stdin) {
      if (!child.stdin.write(chunk)) await once(child.stdin, 'drain')
      if (ended(chunk)) break
    }
    child.stdin.end()
  }
  const [code] = await exited
  process.exit(code ?? 1)
}
