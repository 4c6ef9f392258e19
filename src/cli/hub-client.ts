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
  /** undefined: 404. @throws TunnelError when it cannot be reached, or answers anything else but 200 */
  readonly ask: (path: string) => Promise<string | undefined>
  /** Until the connection ends, or the signal. */
  readonly follow: (path: string, lastId: string | undefined, event: (event: ServerEvent) => void) => Promise<void>
}

/** @throws TunnelError `bad-option` for files that cannot be used */
export function connectHub(options: HubOptions): Hub {
  const { url, tokenFile } = options
  const file = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : readSmallFile(path, MAX_FILE_BYTES)
  const tls = { ca: file(options.caCert), cert: file(options.cert), key: file(options.key) }
  const authorization = (): Record<string, string> =>
    tokenFile === undefined ? {} : { Authorization: `Bearer ${readTokenFile(tokenFile)}` }
  authorization() // to say now what is wrong with the file, which is read again for each request: tokens are renewed

  function open(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const send = (url.startsWith('https:') ? requestHttps : requestHttp) as typeof requestHttps
    const request = send(new URL(path, url), { ...tls, headers: { ...authorization(), ...headers }, agent: false })
    request.setTimeout(ANSWER_MS, () => request.destroy(new Error(`no answer within ${ANSWER_MS / 1_000} s`)))
    request.once('error', (cause) => {
      reject(new TunnelError('no-answer', `could not ask ${url}: ${reasonOf(cause)}`, { cause }))
    })
    request.once('response', resolve)
    request.end()
    return promise
  }

  async function* piecesOf(response: IncomingMessage): AsyncGenerator<string> {
    response.setEncoding('utf8')
    try {
      for await (const piece of response) yield String(piece)
    } catch (cause) {
      const { message } = cause as Error
      const text = message === 'aborted' ? `the connection to ${url} broke` : `${url}: ${message}` // node's word for it
      throw new TunnelError('no-answer', text, { cause })
    }
  }

  async function textOf(response: IncomingMessage): Promise<string> {
    let text = ''
    for await (const piece of piecesOf(response)) {
      text += piece
      if (text.length > MAX_ANSWER_BYTES) throw new TunnelError('no-answer', `the answer of ${url} is too long`)
    }
    return text
  }

  async function refusalOf(response: IncomingMessage): Promise<TunnelError> {
    const [said = ''] = (await textOf(response)).split('\n')
    const hint = response.statusCode === 401 ? ': give it by --token-file' : ''
    return new TunnelError('no-answer', `${url} answers ${response.statusCode}: ${said.slice(0, 200)}${hint}`)
  }

  return {
    async ask(path) {
      const response = await open(path, {})
      if (response.statusCode === 200) return textOf(response)
      const refusal = await refusalOf(response) // which reads what is left of it
      if (response.statusCode === 404) return undefined
      throw refusal
    },
    async follow(path, lastId, event) {
      const response = await open(path, lastId === undefined ? {} : { 'Last-Event-ID': lastId })
      if (response.statusCode !== 200) throw await refusalOf(response)
      response.setTimeout(SILENCE_MS, () => response.destroy(new Error('the hub says nothing')))
      const read = eventReader()
      for await (const piece of piecesOf(response)) for (const one of read(piece)) event(one)
    },
  }
}

/** What went wrong, and what to do about it. */
function reasonOf({ code = '', message }: NodeJS.ErrnoException): string {
  if (/wrong version number/.test(message)) return 'it does not speak TLS: try http://'
  const [text = ''] = message.split('\n')
  const [, hint] = HINTS.find(([codes]) => codes.test(code)) ?? []
  return hint === undefined ? text : `${text}: ${hint}`
}

const HINTS: readonly (readonly [codes: RegExp, hint: string])[] = [
  [
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/,
    'is proxy-server there, and is that its --admin-port? Another one is given by --server',
  ],
  [/^(ECONNRESET|HPE_.*)$/, 'if that is the admin port, it may speak TLS: try https://'],
  [/^(UNABLE_TO_.*|SELF_SIGNED_.*|DEPTH_ZERO_.*)$/, 'name the CA that issued its certificate by --ca-cert'],
]
