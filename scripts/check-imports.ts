/**
 * The import rule of docs/architecture.md, checked: imports go downwards only, cli → programs → {kubernetes, pki, tunnel} → platform,
 * no program imports another, a `core/` never imports its edge, nothing goes round in a circle.
 * Fails on a violation, when it saw no imports, and when a planted violation goes unnoticed: a rule that cannot fail would
 * pass for ever. Type-only imports count: they are knowledge too.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { parseSync } from 'oxc-parser'

type Import = { readonly from: string; readonly to: string }
type Violation = Import & { readonly rule: string }

const PROGRAMS = ['proxy-server', 'proxy-agent', 'sni-router', 'api-gateway', 'pivot']
const SHARED = ['tunnel', 'pki', 'kubernetes', 'policy', 'audit', 'clusters']
/** What a folder below src/ may import besides itself. */
const LOWER: Readonly<Record<string, readonly string[]>> = {
  platform: [],
  tunnel: ['platform'],
  pki: ['platform'],
  kubernetes: ['platform'],
  policy: ['platform'],
  audit: ['platform'],
  clusters: ['policy', 'pki', 'platform'],
  cli: [...PROGRAMS, ...SHARED, 'platform'],
  ...Object.fromEntries(PROGRAMS.map((program) => [program, [...SHARED, 'platform']])),
}

/** The rule that an import breaks. Paths are relative to the root, such as src/tunnel/session.ts. */
function brokenRule({ from, to }: Import): string | undefined {
  const [, fromFolder = '', fromPart] = from.split('/')
  const [, toFolder = '', toPart] = to.split('/')
  if (!(fromFolder in LOWER)) return 'every-folder-has-its-place'
  if (!to.startsWith('src/')) return 'stays-within-src'
  if (fromFolder !== toFolder) return LOWER[fromFolder]?.includes(toFolder) ? undefined : 'imports-go-downwards'
  if (fromPart === 'core' && toPart !== 'core' && PROGRAMS.includes(fromFolder)) return 'core-does-not-know-its-edge'
  return undefined
}

function sourceFiles(root: string): string[] {
  const names = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.ts')).map((name) => normalize(join('src', name)))
}

/** The relative imports of a file, in whatever form they are written. */
function importsOf(root: string, from: string): Import[] {
  const { program, errors } = parseSync(from, readFileSync(join(root, from), 'utf8'))
  if (errors.length > 0) throw new Error(`${from}: ${errors[0]?.message}`)
  const found: Import[] = []
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, source } = node as { type?: unknown; source?: { value?: unknown } | null }
    if (typeof type === 'string' && /^(Import|Export|TSImportType)/.test(type) && typeof source?.value === 'string') {
      if (source.value.startsWith('.')) found.push({ from, to: normalize(join(dirname(from), source.value)) })
    }
    for (const child of Object.values(node)) visit(child)
  }
  visit(program)
  return found
}

function circles(imports: readonly Import[]): Violation[] {
  const targets = Map.groupBy(imports, ({ from }) => from)
  const state = new Map<string, 'open' | 'done'>()
  const found: Violation[] = []
  const visit = (file: string): void => {
    state.set(file, 'open')
    for (const { to } of targets.get(file) ?? []) {
      if (state.get(to) === 'open') found.push({ from: file, to, rule: 'no-circles' })
      else if (!state.has(to)) visit(to)
    }
    state.set(file, 'done')
  }
  for (const file of targets.keys()) if (!state.has(file)) visit(file)
  return found
}

function check(root: string): { imports: Import[]; violations: Violation[] } {
  const imports = sourceFiles(root).flatMap((file) => importsOf(root, file))
  const violations = imports.flatMap((each) => {
    const rule = brokenRule(each)
    return rule === undefined ? [] : [{ ...each, rule }]
  })
  return { imports, violations: [...violations, ...circles(imports)] }
}

/** Each of these must be found, or the check itself is broken. */
const planted: Readonly<Record<string, string>> = {
  'src/platform/low.ts': "export { run } from '../proxy-agent/run.ts'\n",
  'src/tunnel/session.ts': "import type { Edge } from '../pki/edge.ts'\nexport type S = Edge\n",
  'src/pki/edge.ts': "import './circle.ts'\nexport type Edge = import('../tunnel/session.ts').S\n",
  'src/pki/circle.ts': "import './edge.ts'\n",
  'src/proxy-server/core/pool.ts': "import { serve } from '../run.ts'\nexport const pool = serve\n",
  'src/proxy-server/run.ts': "export const serve = await import('../proxy-agent/run.ts')\n",
  'src/proxy-agent/run.ts': "export * from '../../test/outside.ts'\nusing run = null\n",
  'src/common/mixed.ts': "import '../platform/low.ts'\n",
}
/** A circle may be noticed at any of its files. */
const expected = [
  'no-circles',
  'src/common/mixed.ts every-folder-has-its-place',
  'src/pki/edge.ts imports-go-downwards',
  'src/platform/low.ts imports-go-downwards',
  'src/proxy-agent/run.ts stays-within-src',
  'src/proxy-server/core/pool.ts core-does-not-know-its-edge',
  'src/proxy-server/run.ts imports-go-downwards',
  'src/tunnel/session.ts imports-go-downwards',
]

function plantedUnnoticed(): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-imports-'))
  try {
    for (const [name, text] of Object.entries(planted)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    const found = new Set(check(folder).violations.flatMap(({ from, rule }) => [rule, `${from} ${rule}`]))
    return expected.filter((line) => !found.has(line))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const { imports, violations } = check(process.cwd())
const problems = violations.map(({ from, to, rule }) => `${from} must not import ${to} (${rule})`)
if (imports.length === 0) problems.push('saw no imports in src/: the check is blind')
problems.push(...plantedUnnoticed().map((line) => `a planted violation went unnoticed: ${line}`))
for (const problem of problems) console.error(`imports: ${problem}`)
if (problems.length > 0) process.exit(1)
console.log(`imports: ${imports.length}, all downwards`)
