/**
 * TLS files that are looked at again and again, so that a renewed certificate needs no restart. The contents are compared,
 * which notices a rewritten file, a renamed one and Kubernetes' `..data` link alike, where fs.watch loses track of them.
 * New files are used when they pass all checks; else the old ones stay, and an alarm is up until the files are mended.
 */
import type { Clock } from './clock.ts'
import { TunnelError } from './errors.ts'
import { loadTls, type TlsFiles, type TlsMaterial } from './tls-material.ts'

export type TlsFileEvents = {
  /** New files are in use from now on. */
  readonly changed: (material: TlsMaterial) => void
  /** The files were broken in two looks in a row: one look may have met a writer between the certificate and its key. */
  readonly broken: (error: TunnelError) => void
  /** The alarm is over. */
  readonly mended: () => void
}
export type TlsWatch = Disposable & {
  readonly current: () => TlsMaterial
  /** Why the files on disk are not the ones in use; undefined when they are. */
  readonly alarm: () => TunnelError | undefined
  /** Looks at once, for a signal or a test. */
  readonly check: () => void
}

/**
 * @param intervalMs between two looks; disposing ends them
 * @throws TunnelError `bad-option` with every mistake, one per line, when the files are broken at the start
 */
export function watchTlsFiles(
  files: TlsFiles,
  {
    clock,
    intervalMs,
    changed,
    broken,
    mended,
  }: TlsFileEvents & { readonly clock: Clock; readonly intervalMs: number },
): TlsWatch {
  const first = loadTls(files)
  if (!first.ok) throw errorOf(first.problems)
  let current = first.material
  let lastMistakes = ''
  let alarm: TunnelError | undefined
  let timer: Disposable

  const check = (): void => {
    const loaded = loadTls(files)
    const mistakes = loaded.ok ? '' : loaded.problems.join('\n')
    const settled = mistakes === lastMistakes
    lastMistakes = mistakes
    if (!loaded.ok) {
      if (!settled || alarm?.message === mistakes) return
      alarm = errorOf(loaded.problems)
      broken(alarm)
      return
    }
    if (alarm !== undefined) {
      alarm = undefined
      mended()
    }
    if (isSame(loaded.material, current)) return
    current = loaded.material
    changed(current)
  }
  const schedule = (): void => {
    timer = clock.after(intervalMs, () => {
      schedule() // first, so that a watch which ends in `check` stays ended
      check()
    })
  }
  schedule()
  return { current: () => current, alarm: () => alarm, check, [Symbol.dispose]: () => timer[Symbol.dispose]() }
}

function errorOf(problems: readonly string[]): TunnelError {
  return new TunnelError('bad-option', problems.join('\n'))
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca
}
