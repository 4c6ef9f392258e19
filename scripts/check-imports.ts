/**
 * The import rule of docs/architecture.md, checked: imports go downwards only,
 * cli → programs → {pki, tunnel} → platform, no program imports another, a `core/` never imports its edge, no cycles.
 * Fails on a violation, when it saw no imports, and when a planted violation goes unnoticed: a rule that cannot fail
 * would pass for ever (dependency-cruiser alone sees no TypeScript without a parser, so it is given swc).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cruise, type ICruiseResult, type IFlattenedRuleSet } from 'dependency-cruiser'

const PROGRAMS = '(proxy-server|proxy-agent|sni-router|api-gateway|pivot)'

const ruleSet: IFlattenedRuleSet = {
  forbidden: [
    forbid('platform-is-the-bottom', '^src/platform/', '^src/(?!platform/)'),
    forbid('tunnel-knows-only-platform', '^src/tunnel/', '^src/(?!(tunnel|platform)/)'),
    forbid('pki-knows-only-platform', '^src/pki/', '^src/(?!(pki|platform)/)'),
    {
      name: 'programs-do-not-know-each-other',
      severity: 'error',
      from: { path: `^src/${PROGRAMS}/` },
      to: { path: '^src/', pathNot: ['^src/(tunnel|pki|platform)/', '^src/$1/'] },
    },
    {
      name: 'core-does-not-know-its-edge',
      severity: 'error',
      from: { path: `^src/${PROGRAMS}/core/` },
      to: { path: '^src/', pathNot: ['^src/(tunnel|pki|platform)/', '^src/$1/core/'] },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'every-import-resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
}

function forbid(name: string, from: string, to: string): NonNullable<IFlattenedRuleSet['forbidden']>[number] {
  return { name, severity: 'error', from: { path: from }, to: { path: to } }
}

async function check(baseDir: string): Promise<ICruiseResult> {
  const { output } = await cruise(['src'], {
    baseDir,
    validate: true,
    ruleSet,
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import'],
    },
  })
  if (typeof output === 'string') throw new Error('dependency-cruiser gave text where a result was expected')
  return output
}

/** Each of these must be found, or the check itself is broken. */
const planted: Record<string, string> = {
  'src/platform/low.ts': "import { run } from '../proxy-agent/run.ts'\nexport const low = run\n",
  'src/tunnel/session.ts': "import type { Edge } from '../pki/edge.ts'\nexport type S = Edge\n",
  'src/pki/edge.ts': "import '../tunnel/session.ts'\nexport type Edge = 1\n",
  'src/proxy-server/core/pool.ts': "import { serve } from '../run.ts'\nexport const pool = serve\n",
  'src/proxy-server/run.ts': "import { run } from '../proxy-agent/run.ts'\nexport const serve = run\n",
  'src/proxy-agent/run.ts': 'export const run = 1\n',
}
const expected = [
  'platform-is-the-bottom',
  'tunnel-knows-only-platform',
  'pki-knows-only-platform',
  'programs-do-not-know-each-other',
  'core-does-not-know-its-edge',
  'no-cycles',
]

async function plantedViolationsMissed(): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-imports-'))
  try {
    for (const [name, text] of Object.entries(planted)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    const found = new Set((await check(folder)).summary.violations.map((violation) => violation.rule.name))
    return expected.filter((name) => !found.has(name))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const { summary, modules } = await check(process.cwd())
const imports = modules.reduce((sum, module) => sum + module.dependencies.length, 0)
const problems = summary.violations.map(({ rule, from, to }) => `${from} must not import ${to} (${rule.name})`)
if (imports === 0) problems.push('saw no imports in src/: the check is blind')
problems.push(...(await plantedViolationsMissed()).map((name) => `a planted violation of ${name} was not noticed`))
for (const problem of problems) console.error(`imports: ${problem}`)
if (problems.length > 0) process.exit(1)
console.log(`imports: ${modules.length} modules, ${imports} imports, all downwards`)
