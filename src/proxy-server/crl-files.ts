/**
 * The revocation lists of both ports: read before anything listens, looked at while the server runs. One that is broken, or not
 * signed by the CA in whose name it is, is not used: the ones before stay, and an alarm is up. One that has expired is
 * used on, since nobody on it is let in again for that, and raises an alarm as well.
 */
import { X509Certificate } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { readCrls } from '../pki/crl.ts'
import { splitCertificates } from '../pki/pem.ts'
import { createRevocations, type Revocations } from '../pki/revocations.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { type Loaded, type Watch, watchLoaded } from '../platform/watched.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import type { TlsPorts } from './tls-ports.ts'

/** Between two looks at a file: milliseconds. Who is revoked is to be out within five seconds. */
const LOOK_MS = 1_000
/** Longest file: bytes. Room for some 300,000 certificates. */
export const MAX_CRL_FILE_BYTES = 16_777_216

export type CrlFiles = Disposable & {
  /** undefined: the port has none. */
  readonly current: (port: Port) => Revocations | undefined
  /** Looks at once, since a CA was exchanged. */
  readonly check: () => void
  /** By flag: 1 while its file is broken and the lists before are in use. */
  readonly broken: () => Record<string, number>
  /** By flag: seconds until the first of its lists expires. */
  readonly endSeconds: () => Record<string, number>
  /** By flag: certificates that are revoked. */
  readonly counts: () => Record<string, number>
  /** By flag: lists of CAs that are not in the bundle, which count only for who brings such a CA along. */
  readonly strangers: () => Record<string, number>
}

type CrlOptions = Pick<ServerOptions, 'serverCrlFile' | 'clusterCrlFile'>
type File = { readonly port: Port; readonly flag: string; readonly path: string }
type Watched = File & { readonly watch: Watch<Revocations>; expired: boolean }

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
  const files: Watched[] = []
  const warnOfStrangers = (flag: string, { strangers }: Revocations): void => {
    if (strangers === 0) return
    // They count only for who brings such a CA along as an intermediate.
    log.warn({ flag, of_unknown_cas: strangers }, 'revocation lists are of CAs that are not in the bundle')
  }
  for (const file of filesOf(options)) {
    const { port, flag } = file
    let before: Revocations | undefined
    try {
      const watch = watchLoaded(
        createLook(file, () => tlsPorts.material(port).ca ?? ''),
        Object.is,
        {
          clock,
          intervalMs: LOOK_MS,
          changed(revocations) {
            log.info({ flag, revoked: revocations.count }, 'revocation lists changed')
            warnOfStrangers(flag, revocations)
            if (isOlder(revocations, before)) {
              log.warn({ flag }, 'a revocation list is older than the one before: who was only on that is let in again')
            }
            before = revocations
            changed(port)
          },
          broken: (error) =>
            log.error({ flag, reason: error.message }, 'revocation lists are broken, the ones before stay in use'),
          mended: () => log.info({ flag }, 'revocation lists are good again'),
        },
      )
      files.push({ ...file, watch: opened.use(watch), expired: false })
      log.info({ flag, revoked: watch.current().count }, 'revocation lists are in use')
      warnOfStrangers(flag, watch.current())
      before = watch.current()
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      problems.push(error.message)
    }
  }
  if (problems.length > 0) throw new TunnelError('bad-option', problems.join('\n'))
  let timer: Disposable
  const warnOfExpired = (): void => {
    for (const file of files) {
      const { endUnixMs } = file.watch.current()
      const expired = endUnixMs !== undefined && endUnixMs < clock.unixMs()
      if (expired && !file.expired) {
        log.error(
          { flag: file.flag, end: new Date(endUnixMs).toISOString() },
          'a revocation list has expired and is used on',
        )
      }
      file.expired = expired
    }
    timer = clock.after(LOOK_MS, warnOfExpired)
  }
  if (files.length > 0) {
    warnOfExpired()
    opened.defer(() => timer[Symbol.dispose]())
  }
  const disposables = opened.move()
  const byFlag = (read: (watched: Watched) => number | undefined): Record<string, number> => {
    const figures: Record<string, number> = {}
    for (const file of files) {
      const figure = read(file)
      if (figure !== undefined) figures[file.flag.slice(2)] = figure
    }
    return figures
  }
  return {
    current: (port) => files.find((file) => file.port === port)?.watch.current(),
    check() {
      for (const { watch } of files) watch.check()
    },
    broken: () => byFlag(({ watch }) => (watch.alarm() ? 1 : 0)),
    endSeconds: () =>
      byFlag(({ watch }) => {
        const { endUnixMs } = watch.current()
        return endUnixMs === undefined ? undefined : Math.floor((endUnixMs - clock.unixMs()) / 1000)
      }),
    counts: () => byFlag(({ watch }) => watch.current().count),
    strangers: () => byFlag(({ watch }) => watch.current().strangers),
    [Symbol.dispose]: () => disposables.dispose(),
  }
}

function filesOf({ serverCrlFile, clusterCrlFile }: CrlOptions): File[] {
  const files: File[] = [
    { port: 'frontend', flag: '--server-crl-file', path: serverCrlFile },
    { port: 'agent', flag: '--cluster-crl-file', path: clusterCrlFile },
  ]
  return files.filter(({ path }) => path !== '')
}

/** Says the same again for the same bytes and the same CAs, also of what is broken: to parse a long list takes its time. */
function createLook({ flag, path }: File, authorities: () => string): () => Loaded<Revocations> {
  let last: { readonly bytes: Buffer; readonly ca: string; readonly loaded: Loaded<Revocations> } | undefined
  const broken = (why: string): Loaded<Revocations> => ({ ok: false, problems: [`${flag}: ${path}: ${why}`] })

  function load(bytes: Buffer, ca: string): Loaded<Revocations> {
    try {
      const trusted = splitCertificates(ca).map((pem) => new X509Certificate(pem))
      const loaded = createRevocations(readCrls(bytes), trusted)
      return loaded.ok ? { ok: true, value: loaded.revocations } : broken(loaded.problem)
    } catch (cause) {
      return broken(cause instanceof TunnelError ? cause.message : reason(cause))
    }
  }

  return () => {
    try {
      const [bytes, ca] = [readBytes(path), authorities()]
      if (last?.ca !== ca || !last.bytes.equals(bytes)) last = { bytes, ca, loaded: load(bytes, ca) }
      return last.loaded
    } catch (cause) {
      return broken(cause instanceof TunnelError ? cause.message : reason(cause))
    }
  }
}

/** Of one CA; somebody may have put a copy back. */
const isOlder = (now: Revocations, before: Revocations | undefined): boolean =>
  [...now.signedUnixMs].some(([authority, unixMs]) => unixMs < (before?.signedUnixMs.get(authority) ?? 0))

function readBytes(path: string): Buffer {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const about = fstatSync(file)
    if (!about.isFile()) throw new TunnelError('bad-option', 'is no regular file')
    if (about.size > MAX_CRL_FILE_BYTES) {
      throw new TunnelError('bad-option', `is over the limit of ${MAX_CRL_FILE_BYTES} bytes`)
    }
    return readFileSync(file)
  } finally {
    closeSync(file)
  }
}

function reason(cause: unknown): string {
  const { code } = cause as NodeJS.ErrnoException
  return code === 'ENOENT'
    ? 'there is no such file; "culvert pki crl --refresh" makes an empty list'
    : `cannot be read: ${code}`
}
