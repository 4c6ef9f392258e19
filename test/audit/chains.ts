/** Chains for tests. */
import { BEGINNING, type Head, seal } from '../../src/audit/core/chain.ts'
import { createVerifier, type Expectations, type Verdict } from '../../src/audit/core/verifier.ts'
import { sha256 } from '../../src/audit/sha256.ts'

/** Lines with their ends. */
export function chainOf(count: number, from: Head = BEGINNING): Buffer[] {
  let head = from
  return Array.from({ length: count }, (_, index) => {
    const sealed = seal(
      head,
      { time: '2026-11-22T08:00:00.000Z', event: 'dial', destination: `10.0.0.${index}:443` },
      sha256,
    )
    head = sealed.head
    return Buffer.from(sealed.line)
  })
}

export const headOf = (line: Buffer): Head => {
  const { seq, hash } = JSON.parse(line.toString()) as Head
  return { seq, hash }
}

/** @param files their bytes, oldest first */
export function verdictOn(files: readonly Buffer[], expected: Partial<Expectations> = {}): Verdict {
  const verifier = createVerifier(sha256, { partial: false, contains: undefined, ...expected })
  for (const [index, bytes] of files.entries()) {
    verifier.file(`file ${index}`)
    let rest = bytes
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      verifier.line(rest.subarray(0, end))
      rest = rest.subarray(end + 1)
    }
    if (rest.length > 0) verifier.torn(rest.length)
  }
  return verifier.result()
}

export const problemsOf = (lines: readonly Buffer[], expected: Partial<Expectations> = {}): string[] =>
  verdictOn([Buffer.concat(lines)], expected).problems.map(({ line, what }) => `${line}: ${what}`)
