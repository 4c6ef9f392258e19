/** What the other end of a TLS handshake said with the alert that ended it, in words for people. Pure. Source: RFC 8446 section 6. */

const ALERTS: ReadonlyMap<number, string> = new Map([
  [40, 'handshake_failure: the two have no version, cipher or signature in common'],
  [42, 'bad_certificate: it does not accept our certificate'],
  [43, 'unsupported_certificate: it does not accept our certificate'],
  [44, 'certificate_revoked: our certificate is revoked'],
  [45, 'certificate_expired: our certificate has expired'],
  [46, 'certificate_unknown: it does not accept our certificate'],
  [48, 'unknown_ca: it does not know the CA of our certificate'],
  [70, 'protocol_version: it does not speak our versions of TLS'],
  [80, 'internal_error: it failed, or the front door before it has no backend that takes us'],
  [112, 'unrecognized_name: it, or the front door before it, serves nobody by the name that we asked for'],
  [116, 'certificate_required: it asks for a certificate, and we have none'],
  [120, 'no_application_protocol: it, or the front door before it, speaks none of our protocols'],
])

/** OpenSSL's own text has a number of the process, a path and a line, and says of the alert what its code is called there. */
export function tlsErrorText({ message }: Error): string {
  const number = /SSL alert number (\d+)\s*$/.exec(message)?.[1]
  const words = number === undefined ? undefined : (ALERTS.get(Number(number)) ?? `alert ${number}`)
  return words === undefined ? message : `the server ended the TLS handshake: ${words}`
}
