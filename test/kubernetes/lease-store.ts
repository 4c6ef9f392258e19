/** The leases of an API server, kept as a real one keeps them as far as our programs can tell: lists, watches, versions, conflicts. */
import type { ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { type ApiStandIn, type Asked, apiStandIn, leaseList, status } from './api-stand-in.ts'

type Stored = { readonly metadata: { readonly name: string; readonly resourceVersion: string } & object }

export type LeaseStore = {
  readonly api: ApiStandIn
  readonly names: () => string[]
  readonly put: (name: string, lease: object) => void
  readonly remove: (name: string) => void
}

export async function leaseStore(t: Test): Promise<LeaseStore> {
  const api = await apiStandIn(t)
  const leases = new Map<string, Stored>()
  const watches = new Set<ServerResponse>()
  let version = 100
  let isOver = false
  t.teardown(() => {
    isOver = true
  })

  function tell(type: string, object: Stored): void {
    for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`)
  }

  function put(name: string, lease: object): Stored {
    const { metadata = {} } = lease as { readonly metadata?: object }
    const stored: Stored = { ...lease, metadata: { ...metadata, name, resourceVersion: `${++version}` } }
    const type = leases.has(name) ? 'MODIFIED' : 'ADDED'
    leases.set(name, stored)
    tell(type, stored)
    return stored
  }

  function remove(name: string): void {
    const stored = leases.get(name)
    if (leases.delete(name) && stored) tell('DELETED', stored)
  }

  function answer({ method, path, query, body, answer, response }: Asked): void {
    const last = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
    const isOne = last !== 'leases'
    const name = isOne ? last : ((body as Stored | undefined)?.metadata.name ?? '')
    if (query.watch === 'true') {
      response.writeHead(200).flushHeaders()
      watches.add(response.once('close', () => watches.delete(response)))
      for (const stored of leases.values()) {
        if (Number(stored.metadata.resourceVersion) > Number(query.resourceVersion)) tell('MODIFIED', stored)
      }
    } else if (method === 'GET' && !isOne) answer(200, leaseList(`${version}`, ...leases.values()))
    else if (method === 'POST' && !leases.has(name)) answer(201, put(name, body as object))
    else if (method === 'POST') answer(409, status(409, 'AlreadyExists'))
    else if (!leases.has(name)) answer(404, status(404, 'NotFound'))
    else if (method === 'GET') answer(200, leases.get(name)!)
    else if (method === 'PUT') answer(200, put(name, body as object))
    else {
      remove(name)
      answer(200, status(200, ''))
    }
  }

  const serve = async (): Promise<void> => {
    while (!isOver) await api.next().then(answer, () => undefined) // it waits for so long and no longer
  }
  void serve()
  return { api, names: () => [...leases.keys()].sort(), put: (name, lease) => void put(name, lease), remove }
}
