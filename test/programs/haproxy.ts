/** HAProxy, which the system brings, and its configuration in docs/front-door.md: as it is there but for names and addresses. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const document = readFileSync(join(import.meta.dirname, '../../docs/front-door.md'), 'utf8')
const [, configuration = ''] = /^```haproxy\n([\s\S]*?)^```$/m.exec(document) ?? []

/** `host:port` each, in the order of the clusters of the document. */
type Backends = { readonly agents: string; readonly frontends: string }
export type HaproxyPlaces = {
  /** What `bind` takes. */
  readonly listen: string
  /** Of the first cluster. */
  readonly name: string
  readonly clusters: readonly [Backends, Backends]
}

/** @throws Error when the document has a place no more */
export function haproxyConfig({ listen, name, clusters }: HaproxyPlaces): string {
  const places: readonly (readonly [string, string])[] = [
    [':443', listen],
    ['eu-1.hub.example', name],
    ...clusters.flatMap(({ agents, frontends }, index) => [
      [`proxy-server-eu-${index + 1}.culvert.svc:8091`, agents] as const,
      [`proxy-server-eu-${index + 1}.culvert.svc:8090`, frontends] as const,
    ]),
  ]
  return places.reduce((whole, [from, to]) => {
    if (!whole.includes(from)) throw new Error(`docs/front-door.md: no ${from} in HAProxy's configuration`)
    return whole.replaceAll(from, to)
  }, configuration)
}

export function hasHaproxy(): Promise<boolean> {
  return promisify(execFile)('haproxy', ['-v']).then(
    () => true,
    () => false,
  )
}
