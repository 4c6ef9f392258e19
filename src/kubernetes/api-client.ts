/**
 * Requests to an API server, as JSON over HTTPS: each in its turn, with a deadline, its answer within a limit. Redirects
 * are not followed. Source: Kubernetes API concepts.
 */
import type { IncomingMessage } from 'node:http'
import { Agent, type RequestOptions, request as sendRequest } from 'node:https'
import type { Clock } from '../platform/clock.ts'
import type { ApiAccess } from './access.ts'
import { ApiError, noAnswer, refusal } from './api-error.ts'
import { createTurns, type Rate } from './turns.ts'

/** From the call to the last byte of the answer, the wait for a turn and for credentials included: milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000
/** Longest answer, and longest event of a watch: bytes. A lease has less than a thousand. */
const MAX_ANSWER_BYTES = 8 * 1_048_576
/** Longest text of a refusal that is read: bytes. */
const MAX_REFUSAL_BYTES = 65_536
/** A connection that is not used is closed after this: milliseconds. One that died while it was idle is met by few. */
const IDLE_MS = 5_000
const MAX_SOCKETS = 32

export type ApiRequest = {
  /** For messages: "renew lease x". */
  readonly what: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: object
  /** Goes before all that waits for its turn. */
  readonly urgent?: boolean
  /** Less than the usual deadline: milliseconds. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}
export type ApiWatch = Omit<ApiRequest, 'method' | 'body' | 'timeoutMs'> & {
  /** The API server is asked to end it after this: milliseconds. */
  readonly watchMs: number
  /** It begins to answer. */
  readonly opened: () => void
  readonly event: (event: unknown) => void
}

export type ApiClient = Disposable & {
  /** What the answer says. @throws ApiError */
  readonly request: (request: ApiRequest) => Promise<unknown>
  /** Fulfilled when the API server ends it. @throws ApiError */
  readonly watch: (watch: ApiWatch) => Promise<void>
}

export type ApiClientDeps = {
  readonly access: ApiAccess
  readonly rate: Rate
  readonly userAgent: string
  readonly clock: Clock
}

export function createApiClient({ access, rate, userAgent, clock }: ApiClientDeps): ApiClient {
  const turns = createTurns(rate, clock)
  const direct = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, timeout: IDLE_MS })

  /** The answer, its head only. */
  async function send(asked: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> {
    await turns.next(asked.urgent ?? false, signal)
    const { headers, tls, agent = direct } = await untilAborted(access.credentials(), signal)
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const body = asked.body === undefined ? undefined : Buffer.from(JSON.stringify(asked.body))
    const options: RequestOptions = {
      ...tls,
      agent,
      signal,
      method: asked.method,
      headers: {
        accept: 'application/json',
        'user-agent': userAgent,
        ...(body && { 'content-type': 'application/json', 'content-length': body.length }),
        ...headers,
      },
    }
    sendRequest(urlOf(access.server, asked), options, resolve).on('error', reject).end(body)
    return promise
  }

  /** @param use what is done with an answer that is no refusal, and may need another deadline for it */
  async function exchange<T>(
    asked: ApiRequest,
    use: (response: IncomingMessage, extend: (ms: number) => void) => Promise<T>,
  ): Promise<T> {
    const late = new AbortController()
    const deadline = (ms: number): Disposable =>
      clock.after(ms, () => late.abort(new Error(`not finished within ${ms} ms`)))
    let timer = deadline(asked.timeoutMs ?? REQUEST_TIMEOUT_MS)
    const extend = (ms: number): void => {
      timer[Symbol.dispose]()
      timer = deadline(ms)
    }
    const signal = asked.signal ? AbortSignal.any([asked.signal, late.signal]) : late.signal
    try {
      const response = await send(asked, signal)
      const { statusCode: status = 0 } = response
      if (status < 200 || status > 299) {
        throw refusal(asked.what, status, await readText(response, MAX_REFUSAL_BYTES))
      }
      return await use(response, extend)
    } catch (cause) {
      if (cause instanceof ApiError) throw cause
      throw noAnswer(asked.what, access.server, signal.aborted ? signal.reason : cause)
    } finally {
      timer[Symbol.dispose]()
    }
  }

  return {
    request: (asked) => exchange(asked, async (response) => parsed(await readText(response, MAX_ANSWER_BYTES))),
    watch({ watchMs, opened, event, ...asked }) {
      const timeoutSeconds = String(Math.ceil(watchMs / 1000))
      const query = { ...asked.query, watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds }
      return exchange({ ...asked, method: 'GET', query }, async (response, extend) => {
        extend(watchMs + REQUEST_TIMEOUT_MS)
        opened()
        for await (const line of lines(response, MAX_ANSWER_BYTES)) event(parsed(line))
      })
    },
    [Symbol.dispose]: () => direct.destroy(),
  }
}

function urlOf({ origin, pathname }: URL, { path, query = {} }: ApiRequest): URL {
  const url = new URL(pathname.replace(/\/$/, '') + path, origin)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  return url
}

/** What a parser says of bad JSON quotes it, and an answer may hold the token that was asked about. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('the answer is no JSON')
  }
}

async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw new Error(`the answer is over the limit of ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function* lines(response: IncomingMessage, maxBytes: number): AsyncGenerator<string> {
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let rest = chunk
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      yield Buffer.concat([...held, rest.subarray(0, end)]).toString('utf8')
      rest = rest.subarray(end + 1)
      held = []
      heldBytes = 0
    }
    held.push(rest)
    heldBytes += rest.length
    if (heldBytes > maxBytes) throw new Error(`an event is over the limit of ${maxBytes} bytes`)
  }
}

const NEWLINE = 10

/** What takes too long is left to itself. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined)
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
