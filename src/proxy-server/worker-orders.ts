/** The orders that a worker process gets, as what the worker waits for: its start, connections, questions, its end. */
import type { Socket } from 'node:net'
import type { Answer, Asked } from '../platform/endpoints.ts'
import type { Shutdown } from '../platform/shutdown.ts'
import type { Entrance } from './frontend-admission.ts'
import type { Port } from './metrics.ts'
import type { Order, Orders, Question } from './worker-messages.ts'

/** More than the record of a hub, and less than would hold its server up for long: bytes. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

export type Serve = {
  readonly take: (connection: Socket, port: Port, entrance?: Entrance) => void
  readonly answer: (asked: Asked) => Promise<Answer>
}

export type Obeyed = {
  readonly started: Promise<Extract<Order, { do: 'start' }>>
  readonly shutdown: Shutdown
  /** Nobody else is handed over. */
  readonly dismissed: AbortSignal
  /** Connections that come before are closed, questions not answered. */
  readonly serveBy: (serve: Serve) => void
}

/** From now on. */
export function obey({ report, onOrder }: Orders): Obeyed {
  const [drain, now, dismissed] = [new AbortController(), new AbortController(), new AbortController()]
  const started = Promise.withResolvers<Extract<Order, { do: 'start' }>>()
  const asked = new Map<number, AbortController>()
  let serve: Serve | undefined

  async function answerTo(id: number, { path, search }: Question): Promise<void> {
    const gone = new AbortController()
    asked.set(id, gone)
    const request = { method: 'GET', hostname: '', acceptsGzip: false, lastEventId: undefined, gone: gone.signal }
    const query = new URLSearchParams(search)
    const answer = await serve?.answer({ ...request, path, search, query }).catch(() => FAILED)
    asked.delete(id)
    const isShort = answer && answer.body.length <= MAX_ANSWER_BYTES
    report({ is: 'answer', id, answer: isShort ? answer : FAILED })
  }

  onOrder((order, connection) => {
    switch (order.do) {
      case 'start':
        return started.resolve(order)
      case 'take':
        report({ is: 'took', number: order.number })
        if (!serve) connection?.destroy()
        else if (connection) serve.take(connection, order.port, order.entrance) // none: its client has hung up meanwhile
        return
      case 'say-took':
        return report({ is: 'took', number: order.number })
      case 'drain':
        return drain.abort(order.signal)
      case 'dismiss':
        return dismissed.abort()
      case 'stop':
        drain.abort(order.signal)
        return now.abort(order.signal)
      case 'answer':
        return void answerTo(order.id, order.question)
      case 'forget':
        return asked.get(order.id)?.abort()
      default:
        order satisfies never
    }
  })
  return {
    started: started.promise,
    shutdown: { drain: drain.signal, now: now.signal, [Symbol.dispose]: () => undefined },
    dismissed: dismissed.signal,
    serveBy(given) {
      serve = given
    },
  }
}

const FAILED: Answer = { status: 500, body: 'could not be put together\n' }

type Channel = Pick<NodeJS.Process, 'on' | 'send' | 'connected'>

/** Over the channel to the process that started this one. */
export function processOrders(channel: Channel): Orders {
  return {
    report(report, sent = () => undefined) {
      if (channel.connected) channel.send?.(report, undefined, undefined, sent) // else `onLost` is about to be called
    },
    onOrder: (act) => void channel.on('message', (order, connection) => act(order as Order, connection as Socket)),
    onLost: (act) => void channel.on('disconnect', act),
  }
}
