/**
 * Files that are looked at again and again, so that a change of them needs no restart. What they say is compared, which
 * notices a rewritten file, a renamed one and Kubernetes' `..data` link alike, where fs.watch loses track of them. One look
 * may meet a writer at work, and half of a text may be a good one: what is new counts when the next look finds the same. It is
 * used when it passes its checks; else the old stays in use, and an alarm is up until the files are mended.
 *
 *   watchTexts(source, load, { clock, intervalMs, changed, broken, mended })
 *
 * watches one file, or the `.yaml`, `.yml` and `.json` files of one folder (by name; hidden ones and subfolders are left
 * out). `load` makes a value of all texts, or says every problem; it is asked only when a text has changed.
 * `watchLoaded` does the same for anything that a function reads by itself.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from './clock.ts'
import { TunnelError } from './errors.ts'
import { readSmallFile } from './secret-file.ts'

export type Loaded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly string[] }
/** What to watch: `path` is a file or a folder, `flag` (`--clusters`) begins each problem of reading it. */
export type TextSource = {
  readonly flag: string
  readonly path: string
  readonly maxBytes: number
  /** Told at each look which files of the folder only the case of their ending keeps out: the first of them, if any. */
  readonly passedOver?: (paths: readonly string[]) => void
}
export type FileText = { readonly path: string; readonly text: string }

export type WatchEvents<T> = {
  /** This is in use from now on. */
  readonly changed: (value: T) => void
  /** The files were broken, in the same way, in two looks in a row, or in one of `reload`. */
  readonly broken: (error: TunnelError) => void
  /** The alarm is over. */
  readonly mended: () => void
}
export type WatchOptions<T> = WatchEvents<T> & {
  readonly clock: Clock
  readonly intervalMs: number
  /** In use from the start where the files are broken then; none: they must be good. */
  readonly instead?: T | undefined
}
export type Watch<T> = Disposable & {
  readonly current: () => T
  /** Why the files on disk are not what is in use; undefined when they are. */
  readonly alarm: () => TunnelError | undefined
  /** Looks at once and uses what is good, for who knows that it is written whole. */
  readonly check: () => void
  /** The same, and tells at once of what is broken: for who has been asked to. */
  readonly reload: () => void
}

/** Most files of a folder. */
const MAX_FILES = 10_000
const NAME = /^[^.].*\.(ya?ml|json)$/
const NAME_IN_ANY_CASE = new RegExp(NAME, 'i')
const MAX_PASSED_OVER = 20

/** Completes what is said of a file that is passed over. */
export const WHY_PASSED_OVER = 'is ignored: its name must end in .yaml, .yml or .json, in lower case'

/** @throws TunnelError `bad-option` with every problem, one per line, when the files are broken at the start */
export function watchTexts<T>(
  source: TextSource,
  load: (files: readonly FileText[]) => Loaded<T>,
  options: WatchOptions<T>,
): Watch<T> {
  let last: { readonly texts: string; readonly loaded: Loaded<T> } | undefined
  const look = (): Loaded<T> => {
    const read = readTexts(source)
    if (!read.ok) return read
    const texts = JSON.stringify(read.value)
    if (texts !== last?.texts) last = { texts, loaded: withoutThrowing(source.path, () => load(read.value)) }
    return last.loaded
  }
  return watchLoaded(look, Object.is, options)
}

/** A mistake in a loader is no reason to end a server that runs: it is a problem of what was read. */
function withoutThrowing<T>(path: string, load: () => Loaded<T>): Loaded<T> {
  try {
    return load()
  } catch (cause) {
    return { ok: false, problems: [`${path}: could not be read: ${(cause as Error).message}`] }
  }
}

/**
 * @param isSame whether what was read says nothing new
 * @throws TunnelError `bad-option` with every problem, one per line, when `look` finds some at the start and nothing is there instead
 */
export function watchLoaded<T>(
  look: () => Loaded<T>,
  isSame: (a: T, b: T) => boolean,
  { clock, intervalMs, instead, changed, broken, mended }: WatchOptions<T>,
): Watch<T> {
  const first = look()
  if (!first.ok && instead === undefined) throw errorOf(first.problems)
  let current = first.ok ? first.value : (instead as T)
  let last: Loaded<T> = first
  let alarm: TunnelError | undefined
  let timer: Disposable

  const lookAgain = (isWhole: boolean, isAsked = false): void => {
    const loaded = look()
    const before = last
    last = loaded
    if (!loaded.ok) {
      const problems = loaded.problems.join('\n')
      const isSettled = isAsked || (!before.ok && before.problems.join('\n') === problems)
      if (!isSettled || alarm?.message === problems) return
      alarm = errorOf(loaded.problems)
      broken(alarm)
      return
    }
    const isChanged = !isSame(loaded.value, current)
    if (isChanged && !isWhole && !(before.ok && isSame(loaded.value, before.value))) return
    if (alarm !== undefined) {
      alarm = undefined
      mended()
    }
    if (!isChanged) return
    current = loaded.value
    changed(current)
  }
  const schedule = (): void => {
    timer = clock.after(intervalMs, () => {
      schedule() // first, so that a watch which ends in a look stays ended
      lookAgain(false)
    })
  }
  schedule()
  return {
    current: () => current,
    alarm: () => alarm,
    check: () => lookAgain(true),
    reload: () => lookAgain(true, true),
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  }
}

/** The file, or the files of the folder; all of them together within the limit. For who reads once, without watching. */
export function readTexts({ flag, path, maxBytes, passedOver }: TextSource): Loaded<readonly FileText[]> {
  try {
    const { paths, others } = statSync(path).isDirectory() ? filesOf(path) : { paths: [path], others: [] }
    passedOver?.(others)
    if (paths.length > MAX_FILES) return { ok: false, problems: [`${flag}: ${path} holds over ${MAX_FILES} files`] }
    let room = maxBytes
    const files: FileText[] = []
    for (const file of paths) {
      const text = readSmallFile(file, room)
      room -= Buffer.byteLength(text)
      files.push({ path: file, text })
    }
    return { ok: true, value: files }
  } catch (cause) {
    return { ok: false, problems: [`${flag}: ${reason(path, cause)}`] }
  }
}

function filesOf(folder: string): { readonly paths: readonly string[]; readonly others: readonly string[] } {
  const entries = readdirSync(folder, { withFileTypes: true })
  const pathsOf = (some: typeof entries): string[] => some.map(({ name }) => join(folder, name)).sort()
  const others = entries.filter(
    (entry) => NAME_IN_ANY_CASE.test(entry.name) && !NAME.test(entry.name) && !entry.isDirectory(),
  )
  return {
    paths: pathsOf(entries.filter(({ name }) => NAME.test(name))).filter((path) => !statSync(path).isDirectory()),
    others: pathsOf(others).slice(0, MAX_PASSED_OVER),
  }
}

function reason(path: string, cause: unknown): string {
  if (cause instanceof TunnelError) return cause.message
  const { code } = cause as NodeJS.ErrnoException
  return `could not use ${path}: ${code === 'ENOENT' ? 'there is no such file' : String(code)}`
}

function errorOf(problems: readonly string[]): TunnelError {
  return new TunnelError('bad-option', problems.join('\n'))
}
