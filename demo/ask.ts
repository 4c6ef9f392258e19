/** Requests with limits, for answers that are small. */
import { type ClientRequest, type RequestOptions, request } from 'node:http'
import type { Duplex } from 'node:stream'

const ANSWER_LIMIT_BYTES = 65_536

export type Answer = { readonly status: number; readonly reason: string; readonly body: string }

/** @param through the connection to use; it is closed after the answer. Without it, a new one to the URL's host. */
export async function get(url: string, signal: AbortSignal, through?: Duplex): Promise<Answer> {
  // With `agent: false` a connection of one's own would be ignored, and the request go past the tunnel.
  const way: RequestOptions = through ? { createConnection: () => through } : { agent: false }
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const asked: ClientRequest = request(url, { ...way, signal }, (response) => {
    let body = ''
    response.setEncoding('utf8').on('data', (text: string) => {
      body += text
      if (body.length > ANSWER_LIMIT_BYTES) response.destroy(new Error(`${url} answered more than was expected`))
    })
    response.on('error', reject)
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, reason: response.statusMessage ?? '', body })
    })
  })
  asked.on('error', reject)
  asked.end()
  return promise
}
