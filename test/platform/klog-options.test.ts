import t from 'tap'
import { idleKlogOptions, klogOptions } from '../../src/platform/klog-options.ts'
import { readOptions, type Values } from '../../src/platform/options.ts'

const table = { ...klogOptions, ...idleKlogOptions }

function valuesOf(...argv: string[]): Values<typeof table> {
  const read = readOptions(table, argv, [])
  if (read.ok !== true) throw new Error(JSON.stringify(read))
  return read.values
}
function misread(...argv: string[]): readonly string[] {
  const read = readOptions(table, argv, [])
  return read.ok === false ? read.misread : []
}

t.test('has the names and defaults of klog', async (t) => {
  t.strictSame(valuesOf(), {
    v: 4,
    vmodule: [],
    logtostderr: true,
    logFile: '',
    logDir: '',
    logFileMaxSize: 1_800,
    alsologtostderr: false,
    alsologtostderrthreshold: 0,
    stderrthreshold: 2,
    legacyStderrThresholdBehavior: true,
    skipHeaders: false,
    addDirHeader: false,
    logBacktraceAt: ':0',
    oneOutput: false,
    skipLogHeaders: false,
  })
})

t.test('takes a severity by name or number', async (t) => {
  for (const [given, value] of Object.entries({ INFO: 0, warning: 1, Error: 2, FATAL: 3, '1': 1, '-1': -1 })) {
    t.equal(valuesOf(`--stderrthreshold=${given}`).stderrthreshold, value, given)
  }
  t.strictSame(misread('--stderrthreshold=WARN'), [
    'invalid argument "WARN" for "--stderrthreshold" flag: expected INFO, WARNING, ERROR, FATAL or a number',
  ])
})

t.test('takes modules with their verbosity, skipping empty items', async (t) => {
  t.strictSame(valuesOf('--vmodule=link=5,,agent-*=+2,').vmodule, [
    { pattern: 'link', v: 5 },
    { pattern: 'agent-*', v: 2 },
  ])
  for (const given of ['x', '=1', 'x=', 'x=y', 'x=-1', 'x=1=2', 'x=1,y']) {
    t.match(misread(`--vmodule=${given}`), [/expected a comma-separated list of pattern=N$/], given)
  }
})

t.test('checks what it has no use for as klog does', async (t) => {
  for (const given of ['', ':0', 'server.go:12', 'server.go:+012'])
    t.strictSame(misread(`--log-backtrace-at=${given}`), [])
  for (const given of ['server.go', 'server:12', 'server.go:0', 'server.go:-1', 'a.go:1:2', ':1']) {
    t.match(misread(`--log-backtrace-at=${given}`), [/expected a place such as file.go:234$/], given)
  }
})
