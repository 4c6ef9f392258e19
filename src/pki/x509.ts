/**
 * The X.509 library, made ready to load; the only door to it.
 *
 * `@peculiar/x509` wires its algorithms with tsyringe, which refuses to load without three functions of the
 * decorator-metadata proposal on `Reflect`. Those three stand here in place of a polyfill package. Issuing is rare and
 * loading costs a tenth of a second, so nothing that runs per connection imports this file. Its crypto provider is
 * `globalThis.crypto`, which Node has.
 */

const metadataOf = new WeakMap<object, Map<unknown, unknown>>()

const metadata = {
  getMetadata: (key: unknown, target: object): unknown => {
    for (let owner: object | null = target; owner !== null; owner = Reflect.getPrototypeOf(owner)) {
      const own = metadataOf.get(owner)
      if (own?.has(key)) return own.get(key)
    }
    return undefined
  },
  getOwnMetadata: (key: unknown, target: object): unknown => metadataOf.get(target)?.get(key),
  defineMetadata: (key: unknown, value: unknown, target: object): void => {
    metadataOf.set(target, (metadataOf.get(target) ?? new Map()).set(key, value))
  },
}
if (!('getMetadata' in Reflect)) Object.assign(Reflect, metadata)

export const x509 = await import('@peculiar/x509')
