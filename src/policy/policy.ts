/** A policy: its rules and its version, which is a hash of them. Read from a file, or from what a hub sends. */
import { createHash } from 'node:crypto'
import { type FileText, type Loaded, readTexts } from '../platform/watched.ts'
import { readYaml } from '../platform/yaml.ts'
import { pushProblem } from './core/authorise.ts'
import { type PolicyOf, type Problem, readRules, writeRules } from './core/read-rules.ts'
import type { Rules } from './core/rules.ts'

/** `version`: 12 hexadecimal digits. Comments, order of keys and spelling do not change it. */
export type Policy = { readonly rules: Rules; readonly version: string }

/** Longest policy: bytes. Four of them go into a tunnel's message. */
export const MAX_POLICY_BYTES = 1_048_576
/** Of a hash: enough to tell versions apart, and few enough for a number of JavaScript. */
const VERSION_DIGITS = 12
/** Keys are as long as whoever wrote them liked. */
const MAX_PLACE_CHARS = 200
/** Nor does a key say what a terminal does. */
const UNSEEN = /[\p{Cc}\p{Cf}]/gu

export const policyOf = (rules: Rules): Policy => ({ rules, version: versionOf(writeRules(rules)) })

/** The one document of the one file. */
export function loadPolicy(files: readonly FileText[], of?: PolicyOf): Loaded<Policy> {
  const read = readPolicyFiles(files, of)
  return read.ok ? { ok: true, value: read.policy } : read
}

/** @param flag begins the problems of reading it */
export function openPolicy(flag: string, path: string, of?: PolicyOf): ReadPolicy {
  const read = readTexts({ flag, path, maxBytes: MAX_POLICY_BYTES })
  return read.ok ? readPolicyFiles(read.value, of) : read
}

function readPolicyFiles([file, ...more]: readonly FileText[], of?: PolicyOf): ReadPolicy {
  if (file === undefined || more.length > 0) return { ok: false, problems: ['expected one file with a policy'] }
  return readPolicyText(file.text, file.path, of)
}

export type ReadPolicy =
  | { readonly ok: true; readonly policy: Policy; readonly lineOf: (pointer: string) => number }
  | { readonly ok: false; readonly problems: readonly string[] }

/** @param name what problems call the text: its file */
export function readPolicyText(text: string, name: string, of?: PolicyOf): ReadPolicy {
  const yaml = readYaml(text, { name, maxBytes: MAX_POLICY_BYTES })
  if (!yaml.ok) return yaml
  const [document, ...more] = yaml.documents
  if (document === undefined || more.length > 0) {
    const found = document === undefined ? 'none' : `${more.length + 1}`
    return { ok: false, problems: [`${name}: expected one document with the key rules, got ${found}`] }
  }
  const read = readRules(document.value, of)
  if (!read.ok) {
    return {
      ok: false,
      problems: read.problems.map((problem) => `${name}:${document.lineOf(problem.pointer)}: ${problemText(problem)}`),
    }
  }
  const tooLong = of === 'hub' ? pushProblem(read.rules) : undefined
  if (tooLong !== undefined)
    return { ok: false, problems: [`${name}:${document.lineOf('/rules')}: expected ${tooLong}`] }
  return { ok: true, policy: policyOf(read.rules), lineOf: document.lineOf }
}

/** What a hub has pushed: the text that `writeRules` gives, so JSON and not YAML, which takes longer to read. */
export function readPushedPolicy(text: string): Loaded<Policy> {
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_POLICY_BYTES) {
    return { ok: false, problems: [`expected at most ${MAX_POLICY_BYTES} bytes, got ${bytes}`] }
  }
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return { ok: false, problems: ['expected JSON'] }
  }
  const read = readRules(document)
  return read.ok ? { ok: true, value: policyOf(read.rules) } : { ok: false, problems: read.problems.map(problemText) }
}

function problemText({ pointer, expected }: Problem): string {
  const place = pointer === '' ? '' : `${pointer.slice(1, MAX_PLACE_CHARS).replaceAll('/', '.')}: `
  return `${place}expected ${expected}`.replace(UNSEEN, '?')
}

/** @param text as `writeRules` gives it */
export function versionOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, VERSION_DIGITS)
}
