/** The rules that files named by flags can be read, so that a wrong path is reported beside all other mistakes. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { flagOf, type OptionTable, type Rule, type Values } from './options.ts'

/** One rule for each option of type `file`. An empty value names no file. What is inside is for its reader to judge. */
export function filesAreReadable<Table extends OptionTable>(table: Table): Rule<Values<Table>>[] {
  const files = Object.entries(table).filter(([, option]) => option.takes === 'file')
  return files.map(([key, option]) => (values) => {
    const path = String(values[key])
    const why = path === '' ? undefined : whyUnreadable(path)
    return why === undefined
      ? undefined
      : `--${flagOf(key, option)}: expected a file that can be read, got ${path}: ${why}`
  })
}

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
    if (code === 'ENOENT') return 'there is no such file'
    return code === 'EACCES' ? 'permission denied' : String(code)
  }
}
