/**
 * Lines of JSON that each carry the hash of the line before and their own, so that a change in any of them shows. Pure: the hash
 * function comes in.
 *
 *   {"seq":7,"prev":"<hash of line 6>", … ,"hash":"<SHA-256 of this line up to here, closed with }>"}
 *
 * The bytes that are hashed are those in the file: nobody has to agree on how JSON is written.
 */
import { Buffer } from 'node:buffer'

/** SHA-256 in hexadecimal, 64 digits. */
export type Sha256 = (bytes: string | Uint8Array) => string

/** The last line of a chain: its number and its hash. */
export type Head = { readonly seq: number; readonly hash: string }

/** What the first line of all follows. */
export const BEGINNING: Head = { seq: 0, hash: '0'.repeat(64) }

/** Longest line that is written, or taken for one: bytes, its end included. */
export const MAX_LINE_BYTES = 65_536

/** Of a line without its end: `,"hash":"…"}`. */
const SEAL_BYTES = 10 + 64 + 1
const SEAL = /^,"hash":"([0-9a-f]{64})"\}$/
const LINE_END = '\n'

export type Sealed = { readonly line: string; readonly head: Head }

/** @param fields the members of the line, which have other names than those of the chain */
export function seal(head: Head, fields: Readonly<Record<string, unknown>>, sha256: Sha256): Sealed {
  const seq = head.seq + 1
  const body = JSON.stringify({ seq, prev: head.hash, ...fields })
  const hash = sha256(body)
  return { line: `${body.slice(0, -1)},"hash":"${hash}"}${LINE_END}`, head: { seq, hash } }
}

export type Opened =
  | {
      readonly kind: 'line'
      /** By what it says of itself. */
      readonly head: Head
      readonly prev: string
      readonly fields: Readonly<Record<string, unknown>>
      /** Whether its hash is that of its bytes. */
      readonly intact: boolean
    }
  | { readonly kind: 'foreign' }

/** @param line without its end */
export function open(line: Uint8Array, sha256: Sha256): Opened {
  if (line.length <= SEAL_BYTES || line.length >= MAX_LINE_BYTES) return { kind: 'foreign' }
  const bytes = Buffer.from(line.buffer, line.byteOffset, line.length)
  const sealAt = bytes.length - SEAL_BYTES
  const [, hash] = SEAL.exec(bytes.toString('latin1', sealAt)) ?? []
  if (hash === undefined) return { kind: 'foreign' }
  const body = Buffer.concat([bytes.subarray(0, sealAt), CLOSING])
  const fields = parsed(body.toString())
  if (!fields) return { kind: 'foreign' }
  const { seq, prev } = fields
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || typeof prev !== 'string') return { kind: 'foreign' }
  return { kind: 'line', head: { seq, hash }, prev, fields, intact: sha256(body) === hash }
}

const CLOSING = Buffer.from('}')

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
