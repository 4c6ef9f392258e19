/** What a program prints about its options: its help, and the lines about mistakes. */
import { flagOf, type Option, type OptionTable } from './options.ts'

const WIDTH = 100

export type About = { readonly program: string; readonly summary: string }

/** One heading for each group, in the order of the table; konnectivity's flags, which name no group, come first. */
export function helpText(table: OptionTable, { program, summary }: About): string {
  const groups = new Map<string, string[]>([['Flags as in konnectivity', []]])
  for (const [key, option] of Object.entries(table)) {
    const group = option.group ?? 'Flags as in konnectivity'
    groups.set(group, [...(groups.get(group) ?? []), entry(flagOf(key, option), option)])
  }
  const sections = [...groups].map(([group, entries]) => `${group}:\n${entries.join('\n')}`)
  const about = '  --help\n      Show this text.\n  --version\n      Show the version.'
  return `${wrap(summary, '')}\n\nUsage: ${program} [flags]\n\n${sections.join('\n\n')}\n\nAbout:\n${about}\n`
}

/**
 * One line for each mistake, each in the words with which konnectivity reports its first and only one, so that what looks
 * for those finds them; then where to read on.
 */
export function problemText(role: 'server' | 'agent', problems: readonly string[]): string {
  const lines = problems.map((problem) => `error: failed to validate ${role} options with ${problem}\n`)
  return `${lines.join('')}Run proxy-${role} --help for its flags.\n`
}

function entry(flag: string, option: Option<unknown>): string {
  const takes = option.shape === 'boolean' ? '' : ` ${option.takes}`
  const own = `  --${flag}${takes}${defaultNote(option)}\n${wrap(option.help, '      ')}`
  if (option.formerly === undefined) return own
  return `${own}\n  --${option.formerly}${takes}${defaultNote(option)}\n      The former name of --${flag}.`
}

function defaultNote(option: Option<unknown>): string {
  const fallback = typeof option.default === 'object' ? option.default.shown : option.default
  if (fallback === undefined) return ' (required)'
  const variable = option.environment === undefined ? '' : `$${option.environment}, else `
  return fallback === '' ? '' : ` (default ${variable}${fallback})`
}

function wrap(text: string, indent: string): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > WIDTH) lines.push(indent + word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.join('\n')
}
