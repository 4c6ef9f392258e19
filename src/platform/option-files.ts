/** The rule that a file named by a flag can be read, so that a wrong path is reported beside all other mistakes. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { flagOf, type Option, type OptionTable, type Rule, type Values } from './options.ts'

/**
 * The rule for one option of type `file`. An empty value names no file. What is inside is for its reader to judge.
 *
 * @param missing the sentence for a path where nothing is
 */
export function fileRule<Table extends OptionTable>(
  table: Table,
  key: keyof Table & string,
  missing?: (path: string) => string,
): Rule<Values<Table>> {
  const flag = flagOf(key, table[key] as Option<unknown>)
  return (values) => {
    const path = String(values[key])
    const why = path === '' ? undefined : whyUnreadable(path)
    if (why === undefined) return undefined
    if (why === NO_SUCH_FILE && missing !== undefined) return missing(path)
    return `--${flag}: expected a file that can be read, got ${path}: ${why}`
  }
}

/**
 * The rules for a certificate and its key, in konnectivity's words and order: each is a file, and neither is without the other.
 *
 * @param name what they are called: "server" for --server-cert and --server-key
 */
export function pairRules<Table extends OptionTable>(
  table: Table,
  name: string,
  key: keyof Table & string,
  cert: keyof Table & string,
): Rule<Values<Table>>[] {
  const missing = (kind: string) => (path: string) => `error checking ${name} ${kind} ${path}, got ${noSuchFile(path)}`
  const alone = (given: typeof key, kind: string, other: typeof key, otherKind: string) => (values: Values<Table>) => {
    if (values[given] === '' || values[other] !== '') return undefined
    return `cannot have ${name} ${otherKind} empty when ${name} ${kind} is set to ${JSON.stringify(values[given])}`
  }
  return [
    fileRule(table, key, missing('key')),
    alone(key, 'key', cert, 'cert'),
    fileRule(table, cert, missing('cert')),
    alone(cert, 'cert', key, 'key'),
  ]
}

/** What is at the path of a folder that may be made later. */
export function folderAt(path: string): 'folder' | 'nothing' | 'no folder' {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    return found === undefined ? 'nothing' : found.isDirectory() ? 'folder' : 'no folder'
  } catch {
    return 'no folder' // that we could look into
  }
}

/** What Go says of such a path. */
export function noSuchFile(path: string): string {
  return `stat ${path}: no such file or directory`
}

const NO_SUCH_FILE = 'there is no such file'

function whyUnreadable(path: string): string | undefined {
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) // a pipe nobody writes to must not hold us
    try {
      return fstatSync(file).isFile() ? undefined : 'it is no regular file'
    } finally {
      closeSync(file)
    }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return NO_SUCH_FILE
    return code === 'EACCES' ? 'permission denied' : String(code)
  }
}
