/**
 * Which route a ClientHello takes. Pure. The exact name goes before the wildcard, which stands for one label; of the routes
 * for that name those whose protocols the client offers go before the one for any protocol. A name that has routes, but none
 * for these protocols, is refused and not given to a route of a wider name.
 */
import type { ClientHello } from './client-hello.ts'
import { hostName } from './host-name.ts'

export type Pattern = { readonly kind: 'exact' | 'wildcard'; readonly name: string }
export type RouteRule = {
  readonly hosts: readonly Pattern[]
  /** Any of these; empty: whatever is offered. */
  readonly alpn: readonly string[]
}
export type Chosen<Route> =
  | { readonly kind: 'route'; readonly route: Route }
  | { readonly kind: 'no-name' | 'no-route' | 'no-protocol' }

/** `*.example.org` stands for `a.example.org`, and not for `example.org` or `a.b.example.org`. Undefined when it is neither. */
export function readPattern(text: string): Pattern | undefined {
  const isWildcard = text.startsWith('*.')
  const name = hostName(isWildcard ? text.slice(2) : text)
  return name === undefined ? undefined : { kind: isWildcard ? 'wildcard' : 'exact', name }
}

/** @param fallback for names without a route, and for clients that name none */
export function routeTable<Route extends RouteRule>(
  routes: readonly Route[],
  fallback: Route | undefined,
): (hello: ClientHello) => Chosen<Route> {
  const byName: Record<Pattern['kind'], Map<string, Route[]>> = { exact: new Map(), wildcard: new Map() }
  for (const route of routes) {
    for (const { kind, name } of route.hosts) byName[kind].set(name, [...(byName[kind].get(name) ?? []), route])
  }
  return ({ name, alpn }) => {
    const candidates = (name === undefined ? undefined : routesOf(name)) ?? (fallback && [fallback])
    if (candidates === undefined) return { kind: name === undefined ? 'no-name' : 'no-route' }
    const chosen =
      candidates.find((route) => route.alpn.some((protocol) => alpn.includes(protocol))) ??
      candidates.find((route) => route.alpn.length === 0)
    return chosen === undefined ? { kind: 'no-protocol' } : { kind: 'route', route: chosen }
  }

  function routesOf(name: string): readonly Route[] | undefined {
    const dot = name.indexOf('.')
    return byName.exact.get(name) ?? (dot < 0 ? undefined : byName.wildcard.get(name.slice(dot + 1)))
  }
}
