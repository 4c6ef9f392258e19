/** The revocation lists of both ports: read before anything listens, looked at while the server runs. */
import { type CrlFile, type CrlSource, watchCrlFile } from '../pki/crl-file.ts'
import type { Revocations } from '../pki/revocations.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import type { TlsPorts } from './tls-ports.ts'

export type CrlFiles = Disposable & {
  /** undefined: the port has none. */
  readonly current: (port: Port) => Revocations | undefined
  /** Looks at once, since a CA was exchanged. */
  readonly check: () => void
  readonly all: readonly CrlFile[]
}

type CrlOptions = Pick<ServerOptions, 'serverCrlFile' | 'clusterCrlFile'>

/**
 * @param changed other lists are in use
 * @throws TunnelError `bad-option` with every mistake, one per line
 */
export function watchCrlFiles(
  options: CrlOptions,
  tlsPorts: Pick<TlsPorts, 'material'>,
  { clock, log, changed }: { readonly clock: Clock; readonly log: Log; readonly changed: (port: Port) => void },
): CrlFiles {
  using opened = new DisposableStack()
  const problems: string[] = []
  const files = new Map<Port, CrlFile>()
  for (const { port, ...source } of sourcesOf(options)) {
    try {
      const authorities = (): string => tlsPorts.material(port).ca ?? ''
      files.set(port, opened.use(watchCrlFile(source, authorities, { clock, log, changed: () => changed(port) })))
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      problems.push(error.message)
    }
  }
  if (problems.length > 0) throw new TunnelError('bad-option', problems.join('\n'))
  const disposables = opened.move()
  return {
    current: (port) => files.get(port)?.current(),
    check() {
      for (const file of files.values()) file.check()
    },
    all: [...files.values()],
    [Symbol.dispose]: () => disposables.dispose(),
  }
}

function sourcesOf({ serverCrlFile, clusterCrlFile }: CrlOptions): (CrlSource & { readonly port: Port })[] {
  const sources = [
    { port: 'frontend', flag: '--server-crl-file', path: serverCrlFile },
    { port: 'agent', flag: '--cluster-crl-file', path: clusterCrlFile },
  ] as const
  return sources.filter(({ path }) => path !== '')
}
