/** A reader of the changes of the fleet, as the admin port of a hub tells them. */
import { get as httpGet, type IncomingMessage } from 'node:http'
import type { Test } from 'tap'
import { eventReader, type ServerEvent } from '../../src/cli/event-stream.ts'
import { event, eventually } from './deadline.ts'
import type { Server } from './tunnel.ts'

export type Events = { readonly seen: ServerEvent[]; readonly types: () => string[]; readonly ended: Promise<unknown> }

export async function followEvents(t: Test, server: Pick<Server, 'adminPort'>, headers = {}): Promise<Events> {
  const request = httpGet({ host: '127.0.0.1', port: server.adminPort, path: '/v1/events', headers, agent: false })
  request.on('error', () => undefined)
  t.teardown(() => request.destroy())
  const response = await event<IncomingMessage>(request, 'response')
  t.equal(response.headers['content-type'], 'text/event-stream')
  const seen: ServerEvent[] = []
  const read = eventReader()
  response.on('data', (bytes: Buffer) => seen.push(...read(bytes.toString())))
  const ended = new Promise((resolve) => response.once('close', resolve))
  response.on('error', () => undefined)
  return { seen, types: () => seen.map(({ type }) => type), ended }
}

/** Waits until these have come first, and maybe more behind them. */
export const seenIn = (events: Events, ...types: string[]): Promise<unknown> =>
  eventually(
    `the events ${types}`,
    () => events.types(),
    (seen) => types.every((type, index) => seen[index] === type) && seen.length >= types.length,
  )
