/**
 * Which connections are bulk, and when bulk gives way: whoever sends much is bulk until it has sent little for a while, all
 * others are small exchanges. Pure. Source: docs/protocol.md sections 4 and 10.
 */
import { READ_BYTES } from './carrier.ts'
import type { Connection } from './connection.ts'

/** A connection that has sent so much, less what drains meanwhile, is bulk; below the second figure it no longer is. Bytes. */
export const BULK_BYTES = 256 * 1024
export const CALM_BYTES = 16 * 1024
/** One that has sent less than this is a small exchange, not the beginning of a large one: bytes, half of a TLS record. */
const SMALL_BYTES = 8 * 1024
export const DRAIN_BYTES_PER_MS = (2 * 1024 * 1024) / 1_000

/** The connection's owner brings bytes to send. */
export function weigh(connection: Connection, bytes: number): void {
  const { pacer, nowMs } = connection.link
  connection.burst = burstNow(connection, nowMs) + bytes
  connection.burstMs = nowMs
  if (connection.burst > BULK_BYTES) connection.bulk = true
  else if (connection.burst < CALM_BYTES) connection.bulk = false
  if (connection.bulk) pacer?.sentBulk(bytes, nowMs)
  else if (connection.burst < SMALL_BYTES) pacer?.sentSmall(nowMs)
}

/** What its next read is likely to bring: whoever is silent mostly says little next. */
export const nextReadBytes = (connection: Connection): number =>
  isCalm(connection, connection.link.nowMs) ? SMALL_BYTES : READ_BYTES

/** Whether it is small by now, though it has not sent anything. */
export const isCalm = (connection: Connection, nowMs: number): boolean => burstNow(connection, nowMs) < CALM_BYTES

const burstNow = ({ burst, burstMs }: Connection, nowMs: number): number =>
  Math.max(0, burst - (nowMs - burstMs) * DRAIN_BYTES_PER_MS)

/** Whether it must wait just now, so that small exchanges find a calm tunnel. */
export function givesWay({ bulk, link }: Connection): boolean {
  return bulk && link.pacer?.open() === false
}
