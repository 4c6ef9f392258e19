/**
 * A file of revocation lists: read before anything begins, looked at while the program runs. One that is broken, or not
 * signed by the CA in whose name it is, is not used: the ones before stay, and an alarm is up. One that has expired is
 * used on, since nobody on it is let in again for that, and raises an alarm as well.
 */
import { X509Certificate } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { type Loaded, watchLoaded } from '../platform/watched.ts'
import { readCrls } from './crl.ts'
import { splitCertificates } from './pem.ts'
import { createRevocations, type Revocations } from './revocations.ts'

/** Between two looks at a file: milliseconds. Who is revoked is to be out within five seconds. */
const LOOK_MS = 1_000
/** Longest file: bytes. Room for some 300,000 certificates. */
export const MAX_CRL_FILE_BYTES = 16_777_216

/** `flag` (`--cluster-crl-file`) is what the log and the metrics call it. */
export type CrlSource = { readonly flag: string; readonly path: string }
export type CrlFile = Disposable & {
  readonly flag: string
  readonly current: () => Revocations
  /** Looks at once, since a CA was exchanged. */
  readonly check: () => void
  /** Whether the file is broken and the lists before are in use. */
  readonly isBroken: () => boolean
  /** Until the first of its lists expires; undefined: none does. */
  readonly endSeconds: () => number | undefined
}
export type CrlFileDeps = {
  readonly clock: Clock
  readonly log: Log
  /** Other lists are in use. */
  readonly changed?: () => void
}

/**
 * @param authorities PEM: the CAs that are trusted now
 * @throws TunnelError `bad-option` with every mistake, one per line
 */
export function watchCrlFile(source: CrlSource, authorities: () => string, deps: CrlFileDeps): CrlFile {
  const { clock, log, changed } = deps
  const { flag } = source
  let before: Revocations | undefined
  let isOver = false
  let timer: Disposable | undefined
  const watch = watchLoaded(createLook(source, authorities), Object.is, {
    clock,
    intervalMs: LOOK_MS,
    changed(revocations) {
      log.info({ flag, revoked: revocations.count }, 'revocation lists changed')
      warnOfStrangers(revocations)
      if (isOlder(revocations, before)) {
        log.warn({ flag }, 'a revocation list is older than the one before: who was only on that is let in again')
      }
      before = revocations
      changed?.()
    },
    broken: (error) =>
      log.error({ flag, reason: error.message }, 'revocation lists are broken, the ones before stay in use'),
    mended: () => log.info({ flag }, 'revocation lists are good again'),
  })
  before = watch.current()
  log.info({ flag, revoked: before.count }, 'revocation lists are in use')
  warnOfStrangers(before)
  warnOfExpired()

  /** They count only for who brings such a CA along as an intermediate. */
  function warnOfStrangers({ strangers }: Revocations): void {
    if (strangers > 0) {
      log.warn({ flag, of_unknown_cas: strangers }, 'revocation lists are of CAs that are not in the bundle')
    }
  }

  function warnOfExpired(): void {
    const { endUnixMs } = watch.current()
    const expired = endUnixMs !== undefined && endUnixMs < clock.unixMs()
    if (expired && !isOver) {
      log.error({ flag, end: new Date(endUnixMs).toISOString() }, 'a revocation list has expired and is used on')
    }
    isOver = expired
    timer = clock.after(LOOK_MS, warnOfExpired)
  }

  return {
    flag,
    current: watch.current,
    check: watch.check,
    isBroken: () => watch.alarm() !== undefined,
    endSeconds() {
      const { endUnixMs } = watch.current()
      return endUnixMs === undefined ? undefined : Math.floor((endUnixMs - clock.unixMs()) / 1000)
    },
    [Symbol.dispose]() {
      watch[Symbol.dispose]()
      timer?.[Symbol.dispose]()
    },
  }
}

/** Says the same again for the same bytes and the same CAs, also of what is broken: to parse a long list takes its time. */
function createLook({ flag, path }: CrlSource, authorities: () => string): () => Loaded<Revocations> {
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
