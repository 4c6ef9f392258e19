/**
 * An aggregated API of one kind, `things`, as little as kube-apiserver and `kubectl get` need. There is one thing, `first`,
 * which says from which address it was asked for. Every watch tells of `thing-0`, `thing-1`, … one a second, is silent for
 * a while, and tells of one more at its end: after the time that the label selector `lasts-s=<seconds>` asks for.
 *
 *   node aggregated-api.ts <certificate> <key>
 */
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'

export const AGGREGATED_API_PORT = 9443
export const GROUP = 'things.culvert.test'
export const EVENTS = 11
export const ONLY_THING = 'first'
const EVENT_EVERY_MS = 1_000

const apiVersion = `${GROUP}/v1`
const things = `/apis/${apiVersion}/things`

/** @param askedFrom the address of who asks */
function answer(path: string, askedFrom: string): object | undefined {
  const only = { kind: 'Thing', apiVersion, metadata: { name: ONLY_THING, resourceVersion: '1' }, spec: { askedFrom } }
  switch (path) {
    case `/apis/${apiVersion}`:
      return {
        kind: 'APIResourceList',
        apiVersion: 'v1',
        groupVersion: apiVersion,
        resources: [
          { name: 'things', singularName: 'thing', namespaced: false, kind: 'Thing', verbs: ['get', 'list', 'watch'] },
        ],
      }
    case things:
      return { kind: 'ThingList', apiVersion, metadata: { resourceVersion: '1' }, items: [only] }
    case `${things}/${ONLY_THING}`:
      return only
    default:
      return undefined
  }
}

function watch(response: ServerResponse, lastsMs: number): void {
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
  const last = setTimeout(tell, lastsMs)
  response.on('close', () => {
    clearInterval(steady)
    clearTimeout(last)
  })
}

if (import.meta.main) {
  const [, , cert = '', key = ''] = process.argv
  createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    const url = new URL(request.url ?? '/', 'https://things')
    const [, lastsS] = /^lasts-s=(\d+)$/.exec(url.searchParams.get('labelSelector') ?? '') ?? []
    if (lastsS !== undefined && url.searchParams.has('watch')) return watch(response, Number(lastsS) * 1_000)
    const body = answer(url.pathname, request.socket.remoteAddress ?? '')
    const missing = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 }
    response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body ?? missing))
  }).listen(AGGREGATED_API_PORT, '0.0.0.0')
}
