/** What a client is told that is not joined to a backend: an alert where it speaks TLS, a line where it speaks HTTP. Pure. */
import { Buffer } from 'node:buffer'
import { ALERTS, type Alert, alertRecord } from './alert.ts'
import type { HelloFault } from './hello-reader.ts'

/** Why a client that is well itself is not joined to a backend. */
export type Unroutable = 'no-name' | 'no-route' | 'no-protocol' | 'no-backend' | 'route-full' | 'dials-full'

/** TLS has no alert that asks to come again later. */
const UNROUTABLE: Readonly<Record<Unroutable, Alert>> = {
  'no-name': ALERTS.unrecognized_name,
  'no-route': ALERTS.unrecognized_name,
  'no-protocol': ALERTS.no_application_protocol,
  'no-backend': ALERTS.internal_error,
  'route-full': ALERTS.internal_error,
  'dials-full': ALERTS.internal_error,
}
export const unroutableAnswer = (why: Unroutable): Buffer => alertRecord(UNROUTABLE[why])

const BODY = 'This port speaks TLS only.\n'
const HTTP_ANSWER = Buffer.from(
  `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`,
)

/** Undefined: whoever speaks something else would not understand an answer. */
export function faultAnswer(fault: HelloFault, alert: Alert | undefined): Buffer | undefined {
  if (fault === 'http') return HTTP_ANSWER
  return alert === undefined ? undefined : alertRecord(alert)
}
