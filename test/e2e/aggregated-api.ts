/**
 * An aggregated API of one kind, `things`, as little as kube-apiserver and `kubectl get things --watch` need. Every watch
 * tells of `thing-0`, `thing-1`, … one a second, is silent for a while, and tells of one more two minutes after its start.
 *
 *   node aggregated-api.ts <certificate> <key>
 */
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'

export const AGGREGATED_API_PORT = 9443
export const GROUP = 'things.culvert.test'
export const WATCH_MS = 120_000
export const EVENTS = 31
const EVENT_EVERY_MS = 1_000

const apiVersion = `${GROUP}/v1`

function answer(path: string): object | undefined {
  switch (path) {
    case `/apis/${apiVersion}`:
      return {
        kind: 'APIResourceList',
        apiVersion: 'v1',
        groupVersion: apiVersion,
        resources: [
          { name: 'things', singularName: 'thing', namespaced: false, kind: 'Thing', verbs: ['list', 'watch'] },
        ],
      }
    case `/apis/${apiVersion}/things`:
      return { kind: 'ThingList', apiVersion, metadata: { resourceVersion: '1' }, items: [] }
    default:
      return undefined
  }
}

function watch(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.flushHeaders()
  let told = 0
  const tell = (): void => {
    const metadata = { name: `thing-${told}`, resourceVersion: String(told + 2) }
    told += 1
    response.write(`${JSON.stringify({ type: 'ADDED', object: { kind: 'Thing', apiVersion, metadata } })}\n`)
    if (told === EVENTS - 1) clearInterval(steady)
  }
  const steady = setInterval(tell, EVENT_EVERY_MS)
  const last = setTimeout(tell, WATCH_MS)
  response.on('close', () => {
    clearInterval(steady)
    clearTimeout(last)
  })
}

if (import.meta.main) {
  const [, , cert = '', key = ''] = process.argv
  createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    const url = new URL(request.url ?? '/', 'https://things')
    const body = answer(url.pathname)
    if (body !== undefined && url.searchParams.has('watch')) return watch(response)
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 }))
  }).listen(AGGREGATED_API_PORT, '0.0.0.0')
}
