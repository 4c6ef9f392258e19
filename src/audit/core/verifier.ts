/**
 * Follows a chain line by line and says what is wrong with it: changed, missing, added, swapped or foreign lines, and an end that
 * is not one. Lines come in the order of the files, oldest first. Pure.
 */
import { BEGINNING, type Head, open, type Sha256 } from './chain.ts'

export type Finding = {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly what: string
}

export type Verdict = {
  /** What must not be in a chain that nobody touched. */
  readonly problems: readonly Finding[]
  /** What the chain itself says it lacks. */
  readonly notes: readonly Finding[]
  /** Problems that were not kept for their number. */
  readonly more: number
  readonly lines: number
  readonly first: Head | undefined
  readonly last: Head | undefined
}

export type Verifier = {
  /** The lines that follow are of this file. */
  readonly file: (name: string) => void
  /** @param line without its end */
  readonly line: (line: Uint8Array) => void
  /** The file ends with bytes that no line end follows, or has a line that is longer than any. */
  readonly torn: (bytes: number) => void
  readonly result: () => Verdict
}

export type Expectations = {
  /** The chain may have begun in files that are gone. */
  readonly partial: boolean
  /** Hash of a line that must be there: one that was noted elsewhere. */
  readonly contains: string | undefined
}

/** So many problems are told one by one. */
const MAX_FINDINGS = 100

export function createVerifier(sha256: Sha256, { partial, contains }: Expectations): Verifier {
  const problems: Finding[] = []
  const notes: Finding[] = []
  let more = 0
  let name = ''
  let number = 0
  let lines = 0
  let first: Head | undefined
  let last: Head | undefined = partial ? undefined : BEGINNING
  let found = contains === undefined
  let before: unknown // the event of the last line

  function problem(what: string): void {
    if (problems.length < MAX_FINDINGS) problems.push({ file: name, line: number, what })
    else more++
  }

  function note(what: string): void {
    if (notes.length < MAX_FINDINGS) notes.push({ file: name, line: number, what })
  }

  function follow(before: Head, { seq }: Head, prev: string): void {
    const wanted = before.seq + 1
    if (seq > wanted) problem(`${missing(seq - wanted)} between line ${before.seq} and line ${seq} of the chain`)
    else if (seq < wanted) problem(`it is line ${seq} of the chain where line ${wanted} should be`)
    else if (prev !== before.hash) {
      problem(
        before === BEGINNING
          ? 'it is the first line of the chain, and names one before it'
          : `the line before it, ${before.seq} of the chain, is not the one that it names`,
      )
    }
  }

  return {
    file(next) {
      name = next
      number = 0
    },
    line(bytes) {
      number++
      lines++
      const opened = open(bytes, sha256)
      if (opened.kind === 'foreign') return problem('it is no line of an audit log')
      const { head, prev, fields, intact } = opened
      if (!intact) problem('it was changed: its hash is another one')
      if (last) follow(last, head, prev)
      first ??= head
      last = head
      if (head.hash === contains) found = true
      const previous = before
      before = fields.event
      if (!intact) return
      const isTorn = typeof fields.tornBytes === 'number'
      if (fields.event === 'started' && previous !== undefined && previous !== 'stopped' && !isTorn) {
        note('the program started again without having stopped: it was killed, or lines were taken off before this one')
      }
      if (fields.event === 'gap') note(`${String(fields.lost)} lines before it were lost: ${String(fields.reason)}`)
      if (isTorn) {
        note(`the program had ended in the middle of a line: ${fields.tornBytes} bytes of it were removed`)
      }
    },
    torn(bytes) {
      number++
      problem(`it is cut off: ${bytes} bytes without the end of a line`)
    },
    result() {
      const lacking = found
        ? []
        : [{ file: name, line: number, what: `the line with the hash ${contains} is not in the chain` }]
      const empty = lines > 0 ? [] : [{ file: name, line: number, what: partial ? NOTHING : EMPTY }]
      const [noted, wrong] = partial ? [empty, []] : [[], empty]
      return {
        problems: [...problems, ...wrong, ...lacking],
        notes: [...notes, ...noted],
        more,
        lines,
        first,
        last: first && last,
      }
    },
  }
}

const NOTHING = 'there is no line, as right after a rotation, and so nothing that could be verified'
const EMPTY = 'there is no line: every log has one, as soon as the program has started'

const missing = (count: number): string => (count === 1 ? 'a line is missing' : `${count} lines are missing`)
