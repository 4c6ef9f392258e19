/** What arrived of transfers whose clients close at once: counted by connection, as the target sees it. */
import type { Socket } from 'node:net'
import { fits } from './pattern.ts'

/** At the beginning of each transfer: which one it is. */
export const NUMBER_BYTES = 8

/** Bytes behind the number, by number; -1 where they are not the pattern. */
export type Entries = Readonly<Record<string, number>>
export type Ledger = { readonly take: (socket: Socket) => void; readonly read: () => Entries }

export function createLedger(): Ledger {
  let entries: Record<string, number> = {}
  return {
    take(socket) {
      const into = entries
      let head = Buffer.alloc(0)
      let count = 0
      let damaged = false
      const add = (bytes: Buffer): void => {
        if (bytes.length > 0 && !fits(bytes, bytes.length, count)) damaged = true
        count += bytes.length
      }
      socket.on('data', (chunk: Buffer) => {
        if (head.length === NUMBER_BYTES) return add(chunk)
        const all = Buffer.concat([head, chunk])
        head = all.subarray(0, NUMBER_BYTES)
        add(all.subarray(head.length))
      })
      socket.once('close', () => {
        if (head.length === NUMBER_BYTES) into[String(head.readBigUInt64BE())] = damaged ? -1 : count
      })
    },
    read() {
      const found = entries
      entries = {}
      return found
    },
  }
}
