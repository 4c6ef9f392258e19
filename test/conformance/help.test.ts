/**
 * The flags of our programs beside those of konnectivity's: names and defaults. What differs is what docs/compatibility.md
 * lists, no less and no more.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { IDLE_GROUP } from '../../src/platform/option-types.ts'
import { flagOf, type OptionTable, readOptions, type Values } from '../../src/platform/options.ts'
import { agentOptions } from '../../src/proxy-agent/options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { type ProgramName, program } from '../programs/programs.ts'
import { type Flags, flagsOf } from './pflag-help.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const roles = [
  { role: 'server', name: 'proxy-server', table: serverOptions as OptionTable },
  { role: 'agent', name: 'proxy-agent', table: agentOptions as OptionTable },
] as const
const entry = (role: string): string => join(CHECKOUT, 'src/cli', `proxy-${role}.ts`)

/** The cells of a table of docs/compatibility.md, section "Flags", below this heading; code without its marks. */
function documented(heading: string): string[][] {
  const page = readFileSync(join(CHECKOUT, 'docs/compatibility.md'), 'utf8')
  const [, section] = page.split(/^## Flags$/m)
  const [, below] = section?.split(/^## /m)[0]?.split(new RegExp(`^### ${heading}$`, 'm')) ?? []
  const rows = below?.split(/^### /m)[0]?.match(/^\|.*\|$/gm) ?? []
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

/** Each release has its own defaults; ours are those of the last. */
const releases = [
  { version: 'v0.36.0', suffix: '', otherDefaults: [] },
  { version: 'v0.33.0', suffix: '-v0.33.0', otherDefaults: ['v'] },
  { version: 'v0.31.4', suffix: '-v0.31.4', otherDefaults: [] },
]
/** A new uuid at each start, also in what --help prints. */
const MADE = ['server-id', 'agent-id']

for (const { role, name, table } of roles) {
  const ours = await flagsOf(process.execPath, entry(role))

  for (const { version, suffix, otherDefaults } of releases) {
    const stock = await flagsOf(await program(`konnectivity-${role}${suffix}` as ProgramName))
    t.test(`${name} has every flag of konnectivity ${version}`, async (t) => {
      t.ok(stock.size > 30, `${stock.size} flags`)
      t.strictSame(
        [...stock.keys()].filter((flag) => !ours.has(flag)),
        [],
      )
      for (const [flag, { letter }] of stock) t.equal(ours.get(flag)?.letter, letter, flag)
    })

    t.test(`${name} has the defaults of konnectivity ${version}, but for those that are documented`, async (t) => {
      const other = (flags: Flags): string[][] =>
        [...stock.keys()]
          .filter((flag) => !MADE.includes(flag) && !otherDefaults.includes(flag))
          .filter((flag) => stock.get(flag)?.shownDefault !== ours.get(flag)?.shownDefault)
          .map((flag) => [`--${flag}`, flags.get(flag)?.shownDefault ?? ''])
      const rows = documented('Other defaults').filter(
        ([program, flag]) => program === name && stock.has(flag?.slice(2) ?? ''),
      )
      t.strictSame(other(ours).toSorted(), rows.map(([, flag, , here]) => [flag, here]).toSorted())
      t.strictSame(
        other(stock).toSorted(),
        rows.map(([, flag, there]) => [flag, there === '0s' ? '' : there]).toSorted(),
      )
      for (const flag of MADE.filter((flag) => stock.has(flag))) {
        t.match(ours.get(flag)?.shownDefault, /^\$PROXY_(SERVER|AGENT)_ID, else a new uuid$/)
      }
    })
  }

  t.test(`the flags of ${name} that do nothing are those that docs/compatibility.md lists`, async (t) => {
    const idle = Object.entries(table).filter(([, option]) => option.group === IDLE_GROUP)
    const listed = documented('Accepted without effect').filter(
      ([programs]) => programs?.includes(name) || programs === 'both',
    )
    t.strictSame(
      idle.map(([key, option]) => `--${flagOf(key, option)}`).toSorted(),
      listed.map(([, flag]) => flag).toSorted(),
    )
  })

  t.test(`${name} keeps its own flags apart from konnectivity’s`, async (t) => {
    const stock = await flagsOf(await program(`konnectivity-${role}`))
    const added = Object.entries(table)
      .filter(([, option]) => option.group === undefined || option.group === IDLE_GROUP)
      .map(([key, option]) => flagOf(key, option))
      .filter((flag) => !stock.has(flag))
    // Of a later release, hidden in this one, or the new name of a flag that it has.
    const known = { server: ['frontend-write-channel-size', 'warn-on-channel-limit'], agent: ['lease-label-selector'] }
    t.strictSame(added.toSorted(), known[role])
  })
}

t.test('what docs/compatibility.md names restores the defaults of konnectivity', async (t) => {
  const rows = documented('Other defaults')
  t.ok(rows.length > 0)
  for (const [program, flag = '', there = '', , restore = ''] of rows) {
    const table = roles.find(({ name }) => name === program)?.table ?? {}
    const [key = '', option] = Object.entries(table).find(([key, option]) => `--${flagOf(key, option)}` === flag) ?? []
    const valueFrom = (argument: string): unknown => {
      const read = readOptions(option === undefined ? {} : { [key]: option }, [argument], [])
      return read.ok === true ? (read.values as Values<OptionTable>)[key] : undefined
    }
    t.not(valueFrom(restore), undefined, restore)
    t.equal(valueFrom(restore), valueFrom(`${flag}=${there}`), `${flag}: ${there}`)
  }
})

t.test('every table in docs has a header: rows behind an empty line would be shown as text', async (t) => {
  const pages = readdirSync(join(CHECKOUT, 'docs')).filter((name) => name.endsWith('.md'))
  for (const page of pages) {
    const lines = readFileSync(join(CHECKOUT, 'docs', page), 'utf8').split('\n')
    const orphans = lines.filter(
      (line, at) =>
        line.startsWith('|') && !lines[at - 1]?.startsWith('|') && !/^\|[-:|]+\|$/.test(lines[at + 1] ?? ''),
    )
    t.strictSame(orphans, [], page)
  }
})
