import t from 'tap'
import { klogOptions } from '../../src/platform/klog-options.ts'
import { type Level, levelOf, levels, logFilePath, moduleVerbosity, routeOf } from '../../src/platform/log-routes.ts'
import { readOptions, type Values } from '../../src/platform/options.ts'

function optionsOf(...argv: string[]): Values<typeof klogOptions> {
  const read = readOptions(klogOptions, argv, [])
  if (read.ok !== true) throw new Error(JSON.stringify(read))
  return read.values
}
/** The levels that reach standard error. */
const seen = (hasFile: boolean, ...argv: string[]): Level[] =>
  levels.filter((level) => routeOf(level, hasFile, optionsOf(...argv)).standardError)

t.test('a verbosity of 5 is debug, of 0 only what is amiss', async (t) => {
  t.strictSame([-1, 0, 1, 4, 5, 10].map(levelOf), ['warn', 'warn', 'info', 'info', 'debug', 'debug'])
})

t.test('there is a file only where standard error is not asked for and a path is given', async (t) => {
  const path = (...argv: string[]): string | undefined => logFilePath('proxy-agent', optionsOf(...argv))
  t.equal(path('--log-file=/a/b.log'), undefined)
  t.equal(path('--logtostderr=false'), undefined)
  t.equal(path('--logtostderr=false', '--log-file=/a/b.log', '--log-dir=/c'), '/a/b.log')
  t.equal(path('--logtostderr=false', '--log-dir=/c'), '/c/proxy-agent.INFO')
})

t.test('everything goes to standard error without a file, unless the threshold is to hold there too', async (t) => {
  t.strictSame(seen(false), levels)
  t.strictSame(seen(false, '--stderrthreshold=3'), levels)
  t.strictSame(seen(false, '--legacy-stderr-threshold-behavior=false'), ['error'])
  t.strictSame(seen(false, '--legacy-stderr-threshold-behavior=false', '--stderrthreshold=WARNING'), ['warn', 'error'])
})

t.test('beside a file only errors go to standard error, or what the thresholds say', async (t) => {
  t.strictSame(seen(true), ['error'])
  t.strictSame(seen(true, '--stderrthreshold=info'), levels)
  t.strictSame(seen(true, '--stderrthreshold=FATAL'), [])
  t.strictSame(seen(true, '--alsologtostderr'), levels)
  t.strictSame(seen(true, '--alsologtostderr', '--alsologtostderrthreshold=1'), ['warn', 'error'])
  t.strictSame(seen(true, '--alsologtostderr', '--alsologtostderrthreshold=3', '--stderrthreshold=0'), [], 'as in klog')
})

t.test('everything goes to the file', async (t) => {
  for (const level of levels) t.equal(routeOf(level, true, optionsOf('--alsologtostderr')).file, true)
  t.equal(routeOf('error', false, optionsOf()).file, false)
})

t.test('the first pattern that matches a source file has its verbosity', async (t) => {
  const modules = optionsOf('--vmodule=link=3,server-?=4,agent-*=5,[a-c]x=6,*=1').vmodule
  const of = (path: string): number => moduleVerbosity(modules, path)
  t.equal(of('file:///opt/src/proxy-agent/link.ts'), 3)
  t.equal(of('/opt/dist/link.js'), 3)
  t.equal(of('a/server-1.ts'), 4)
  t.equal(of('a/server-12.ts'), 1)
  t.equal(of('a/agent-listener.ts'), 5)
  t.strictSame([of('bx.ts'), of('dx.ts')], [6, 1])
  t.equal(moduleVerbosity([], 'link.ts'), 0)
  t.equal(moduleVerbosity(optionsOf('--vmodule=a.b=1').vmodule, 'axb.ts'), 0, 'a dot is a dot')
  t.equal(moduleVerbosity(optionsOf('--vmodule=a[=1').vmodule, 'x.ts'), 0, 'a bracket that does not close')
  t.equal(moduleVerbosity(optionsOf('--vmodule=a[=1').vmodule, 'a[.ts'), 1)
})
