/** `culvert audit verify`: whether anybody has touched an audit log. */
import type { Command, Given, Outcome } from '../../platform/command-line.ts'
import { MAX_LINE_BYTES } from '../core/chain.ts'
import { createVerifier, type Finding, type Verdict } from '../core/verifier.ts'
import { readLines } from '../read-lines.ts'
import { sha256 } from '../sha256.ts'

const HASH = /^[0-9a-f]{64}$/

export const verify: Command = {
  usage: 'verify <file>... [flags]',
  summary: 'Say whether lines of an audit log were changed, removed, added or swapped.',
  about: [
    'Reads the files in the order given, which is that of their age: rotated ones first. Exit code 0: the chain is whole; 1: it',
    'is not, and each place is named. Whoever can write the log can also write another chain from its beginning, or take lines',
    'off its end: note the last hash elsewhere from time to time, and ask for it with --contains.',
  ],
  flags: {
    partial: { help: 'The files before these are gone: the chain may begin anywhere.' },
    contains: {
      takes: 'hash',
      help: 'Hash of a line that must be in the chain, as it was told or seen before.',
      problem: (text) => (HASH.test(text) ? undefined : 'the 64 hexadecimal digits of a line’s hash'),
    },
    output: {
      takes: 'format',
      short: 'o',
      default: 'text',
      help: 'text, for people, or json, for scripts.',
      problem: (text) => (text === 'text' || text === 'json' ? undefined : 'text or json'),
    },
  },
  examples: [
    'culvert audit verify /var/log/culvert/audit.log',
    'culvert audit verify audit.log.2 audit.log.1 audit.log -o json',
    `culvert audit verify audit.log --partial --contains ${'5e'.repeat(32)}`,
  ],
  async run(given, problems) {
    const files = given.words
    const found = [...problems, ...(files.length === 0 ? ['name the files to verify, the oldest first'] : [])]
    if (found.length > 0) return { kind: 'refused', problems: found }
    const verifier = createVerifier(sha256, { partial: given.isSet('partial'), contains: given.value('contains') })
    for (const file of files) {
      verifier.file(file)
      await readLines(file, MAX_LINE_BYTES, { line: verifier.line, rest: verifier.torn })
    }
    return outcome(verifier.result(), given)
  },
}

function outcome(verdict: Verdict, given: Given): Outcome {
  const { problems, notes, more, lines, first, last } = verdict
  const kind = problems.length > 0 ? 'failed' : 'done'
  if (given.value('output') === 'json') {
    const json = { ok: problems.length === 0, lines, first: first ?? null, last: last ?? null, problems, notes, more }
    return { kind, lines: [JSON.stringify(json, undefined, 2)] }
  }
  const warnings = [...notes, ...problems].map(shown)
  if (more > 0) warnings.push(`and ${more} problems more`)
  if (problems.length > 0) return { kind, lines: [], warnings }
  if (lines === 0) return { kind, lines: [], warnings }
  const text = `whole, lines ${first?.seq} to ${last?.seq} of the chain, the last hash is ${last?.hash}`
  return { kind, lines: [text], warnings }
}

const shown = ({ file, line, what }: Finding): string => `${file}:${line}: ${what}`
