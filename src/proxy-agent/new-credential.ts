/** Shows a server something on the connection that there is, beside the agent's stream: its answer says whether it takes it. */
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'

/** Longest wait for the server's word: milliseconds. */
const TIMEOUT_MS = 10_000
/** Of what a server says against it: characters. */
const MAX_SHOWN_CHARS = 200

/** @param done with what the server has against it, if anything */
export function showOver(
  http: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: string,
  done: (problem: string | undefined) => void,
): void {
  if (http.destroyed || http.closed) return
  const request = http.request({ ':method': 'POST', ...headers })
  let status = 0
  let said = ''
  request.setTimeout(TIMEOUT_MS, () => request.close())
  request.on('error', () => undefined) // the connection's end says more
  request.once('response', (answer) => {
    status = answer[':status'] ?? 0
  })
  request.on('data', (chunk: Buffer) => {
    if (said.length < MAX_SHOWN_CHARS) said += chunk.toString('latin1').replace(/[^ -~]/g, '?')
  })
  request.once('close', () => done(status === 200 ? undefined : said.slice(0, MAX_SHOWN_CHARS) || 'no answer'))
  request.end(body)
}
