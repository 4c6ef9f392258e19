/** Asks the admin port of a running hub. */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { TunnelError } from '../platform/errors.ts'
import { readSmallFile, readTokenFile } from '../platform/secret-file.ts'
import { eventReader, type ServerEvent } from './event-stream.ts'

/** Longest wait for an answer, and for the next byte of one that goes on: milliseconds. The hub says something every 15 s. */
const ANSWER_MS = 10_000
const SILENCE_MS = 40_000
const MAX_ANSWER_BYTES = 256 * 1024 * 1024
const MAX_FILE_BYTES = 1024 * 1024

export type HubOptions = {
  /** http or https, host and port. */
  readonly url: string
  readonly tokenFile: string | undefined
  readonly caCert: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

export type Hub = {
  /** @throws TunnelError when it cannot be reached, or answers anything but 200 */
  readonly ask: (path: string) => Promise<string>
  /** Until the connection ends, or the signal. */
  readonly follow: (path: string, lastId: string | undefined, event: (event: ServerEvent) => void) => Promise<void>
}

/** @throws TunnelError `bad-option` for files that cannot be used */
export function connectHub(options: HubOptions): Hub {
  const { url, tokenFile } = options
  const file = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : readSmallFile(path, MAX_FILE_BYTES)
  const tls = { ca: file(options.caCert), cert: file(options.cert), key: file(options.key) }
  const authorization = tokenFile === undefined ? {} : { Authorization: `Bearer ${readTokenFile(tokenFile)}` }

  function open(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const send = (url.startsWith('https:') ? requestHttps : requestHttp) as typeof requestHttps
    const request = send(new URL(path, url), { ...tls, headers: { ...authorization, ...headers }, agent: false })
    request.setTimeout(ANSWER_MS, () => request.destroy(new Error(`no answer within ${ANSWER_MS / 1_000} s`)))
    request.once('error', (cause) => {
      reject(new TunnelError('no-answer', `could not ask ${url}: ${cause.message}`, { cause }))
    })
    request.once('response', resolve)
    request.end()
    return promise
  }

  async function textOf(response: IncomingMessage): Promise<string> {
    response.setEncoding('utf8')
    let text = ''
    for await (const piece of response) {
      text += piece
      if (text.length > MAX_ANSWER_BYTES) throw new TunnelError('no-answer', `the answer of ${url} is too long`)
    }
    return text
  }

  async function answerTo(path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
    const response = await open(path, headers)
    if (response.statusCode === 200) return response
    const [said = ''] = (await textOf(response)).split('\n')
    throw new TunnelError('no-answer', `${url} answers ${response.statusCode}: ${said.slice(0, 200)}`)
  }

  return {
    ask: async (path) => textOf(await answerTo(path)),
    async follow(path, lastId, event) {
      const response = await answerTo(path, lastId === undefined ? {} : { 'Last-Event-ID': lastId })
      response.setTimeout(SILENCE_MS, () => response.destroy(new Error('the hub says nothing')))
      response.setEncoding('utf8')
      const read = eventReader()
      for await (const piece of response) for (const one of read(String(piece))) event(one)
    },
  }
}
