/** The one error type of the programs: callers branch on `code`, people read `message`. */

export type ErrorCode =
  | 'bad-frame' // bytes on a tunnel that cannot be a packet
  | 'bad-option' // a flag, or a file that a flag names
  | 'bad-request' // a CONNECT that breaks RFC 9110 or our limits
  | 'dial-failed' // the agent could not reach the target
  | 'dial-refused' // the agent does not dial such a target
  | 'dial-timeout'
  | 'forbidden' // a peer that may not do what it asked for
  | 'malformed' // bytes that should be DER, as certificates and revocation lists are
  | 'message-too-large' // a message over --max-message-bytes
  | 'no-agent' // no agent of the cluster is connected
  | 'no-answer' // a hub that was asked, by a command
  | 'no-worker' // the processes that should serve cannot be kept running
  | 'reset' // a connection ended before its end

export class TunnelError extends Error {
  override readonly name = 'TunnelError'
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
