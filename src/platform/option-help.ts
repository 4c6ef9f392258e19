/** What a program prints about its options: its help, and the lines about mistakes. */
import { formatDuration, parseDuration } from './duration.ts'
import { flagOf, type Option, type OptionTable, type Problems } from './options.ts'

const WIDTH = 100

export type About = { readonly program: string; readonly summary: string }

/** One heading for each group, in the order of the table; konnectivity's flags, which name no group, come first. */
export function helpText(table: OptionTable, { program, summary }: About): string {
  const isDropIn = Object.values(table).some(({ group }) => group === undefined)
  const groups = new Map<string, string[]>(isDropIn ? [['Flags as in konnectivity', []]] : [])
  for (const [key, option] of Object.entries(table)) {
    const group = option.group ?? 'Flags as in konnectivity'
    groups.set(group, [...(groups.get(group) ?? []), entry(flagOf(key, option), option)])
  }
  const sections = [...groups].map(([group, entries]) => `${group}:\n${entries.join('\n')}`)
  const about = '  -h, --help\n      Show this text.\n  --version\n      Show the version.'
  return `${wrap(summary, '')}\n\nUsage: ${program} [flags]\n\n${sections.join('\n\n')}\n\nAbout:\n${about}\n`
}

/**
 * One line for each mistake, each in the words with which konnectivity reports its first and only one, so that what looks
 * for those finds them; then where to read on.
 */
export function problemText(role: 'server' | 'agent', { misread, problems }: Problems): string {
  const broken = problems.map((problem) => `failed to validate ${role} options with ${problem}`)
  const lines = [...misread, ...broken].map((line) => `error: ${line}\n`)
  return `${lines.join('')}Run proxy-${role} --help for its flags.\n`
}

function entry(flag: string, option: Option<unknown>): string {
  const takes = option.shape === 'boolean' ? '' : ` ${option.takes}`
  const letter = option.letter === undefined ? '' : `-${option.letter}, `
  const own = `  ${letter}--${flag}${takes}${defaultNote(option)}\n${wrap(option.help, '      ')}`
  if (option.formerly === undefined) return own
  return `${own}\n  --${option.formerly}${takes}${defaultNote(option)}\n      The former name of --${flag}.`
}

/** In the form of pflag, which leaves out what is empty, zero or false and quotes texts. */
function defaultNote(option: Option<unknown>): string {
  const { default: fallback, takes, environment } = option
  if (fallback === undefined) return ' (required)'
  const variable = environment === undefined ? '' : `$${environment}, else `
  if (typeof fallback === 'object') return ` (default ${variable}${fallback.shown})`
  if (['', '0', 'false'].includes(fallback)) return ''
  const shown = takes === 'duration' ? formatDuration(parseDuration(fallback) ?? 0) : fallback
  return ` (default ${variable}${FIGURES.includes(takes) ? shown : JSON.stringify(shown)})`
}

const FIGURES = ['number', 'duration', 'size', 'boolean', 'severity', 'place']

function wrap(text: string, indent: string): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > WIDTH) lines.push(indent + word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.join('\n')
}
