/** The TLS files of both ports: read before anything listens, looked at while the server runs. */
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { type TlsWatch, watchTlsFiles } from '../platform/tls-files.ts'
import type { TlsFile, TlsFiles, TlsMaterial } from '../platform/tls-material.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'

/** Between two looks at the files: milliseconds. Who has only a CA that is taken out is to be gone within five seconds. */
const LOOK_MS = 2_000

export type TlsPorts = Disposable & {
  readonly material: (port: Port) => TlsMaterial
  /** Where new material goes. */
  readonly renewWith: (port: Port, renew: (material: TlsMaterial) => void) => void
  readonly alarms: () => Record<Port, boolean>
}

/** @throws TunnelError `bad-option` with every mistake in the files of both ports, one per line */
export function watchTlsPorts(options: ServerOptions, clock: Clock, log: Log): TlsPorts {
  const renewals: Partial<Record<Port, (material: TlsMaterial) => void>> = {}
  const watches: Partial<Record<Port, TlsWatch>> = {}
  const problems: string[] = []
  for (const [port, files] of Object.entries(filesOf(options)) as [Port, TlsFiles][]) {
    try {
      watches[port] = watchTlsFiles(files, {
        clock,
        intervalMs: LOOK_MS,
        changed(material) {
          log.info({ port }, 'TLS files changed, new handshakes use them')
          renewals[port]?.(material)
        },
        broken: (error) =>
          log.error({ port, reason: error.message }, 'TLS files are broken, the ones before stay in use'),
        mended: () => log.info({ port }, 'TLS files are good again'),
      })
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      problems.push(error.message)
    }
  }
  const dispose = (): void => {
    for (const watch of Object.values(watches)) watch[Symbol.dispose]()
  }
  if (problems.length > 0) {
    dispose()
    throw new TunnelError('bad-option', problems.join('\n'))
  }
  return {
    material: (port) => watches[port]?.current() ?? {},
    renewWith(port, renew) {
      renewals[port] = renew
    },
    alarms: () => ({
      frontend: watches.frontend?.alarm() !== undefined,
      agent: watches.agent?.alarm() !== undefined,
    }),
    [Symbol.dispose]: dispose,
  }
}

function filesOf(options: ServerOptions): Partial<Record<Port, TlsFiles>> {
  const file = (flag: string, path: string): TlsFile | undefined => (path === '' ? undefined : { flag, path })
  const files = (cert: TlsFile | undefined, key: TlsFile | undefined, ca: TlsFile | undefined): TlsFiles => ({
    ...(cert && { cert }),
    ...(key && { key }),
    ...(ca && { ca }),
  })
  const agent = files(
    file('--cluster-cert', options.clusterCert),
    file('--cluster-key', options.clusterKey),
    file('--cluster-ca-cert', options.clusterCaCert),
  )
  if (options.udsName !== '') return { agent }
  const frontend = files(
    file('--server-cert', options.serverCert),
    file('--server-key', options.serverKey),
    file('--server-ca-cert', options.serverCaCert),
  )
  return { frontend, agent }
}
