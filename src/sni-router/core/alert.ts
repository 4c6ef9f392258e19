/** What a client of TLS is told before the connection is closed: one fatal alert. Pure. Source: RFC 8446 section 6. */
import { Buffer } from 'node:buffer'

/** By their names there; the codes are those on the wire. */
export const ALERTS = {
  unexpected_message: 10,
  record_overflow: 22,
  illegal_parameter: 47,
  decode_error: 50,
  protocol_version: 70,
  internal_error: 80,
  unrecognized_name: 112,
  no_application_protocol: 120,
} as const
export type AlertName = keyof typeof ALERTS
export type Alert = (typeof ALERTS)[AlertName]

const ALERT_RECORD = 21
const FATAL = 2

/** A record of its own, in the version that every client can read. */
export const alertRecord = (alert: Alert): Buffer => Buffer.from([ALERT_RECORD, 3, 1, 0, 2, FATAL, alert])
