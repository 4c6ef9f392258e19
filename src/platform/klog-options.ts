/**
 * The flags of klog, by which konnectivity's programs log. What ours has in common with it they steer; the rest is accepted, so
 * that a command line need not change. Source: the --help of konnectivity v0.36.0, and klog v2.
 */
import { readGoInteger } from './go-values.ts'
import { boolean, IDLE_GROUP, integer, text } from './option-types.ts'
import type { Option, Parsed, Values } from './options.ts'

const group = 'Logging as in klog'

export const klogOptions = {
  v: integer({
    group,
    letter: 'v',
    form: 'decimal32',
    default: '4',
    help: 'How much is logged: 0 or less, what is amiss (warn); 1 to 4, info; 5 and more, debug. --log-level has the last word.',
  }),
  vmodule: modules({
    group,
    default: '',
    help: 'The same for single source files of ours, as pattern=N, comma-separated: agent-*=5,link=5.',
  }),
  logtostderr: boolean({
    group,
    default: 'true',
    help: 'Log to standard error. False: to --log-file or into --log-dir, where one of them is given.',
  }),
  logFile: text({ group, default: '', help: 'File that the log is appended to, with --logtostderr=false.' }),
  logDir: text({
    group,
    default: '',
    help: 'Folder for the log, with --logtostderr=false: it gets proxy-server.INFO or proxy-agent.INFO.',
  }),
  logFileMaxSize: integer({
    group,
    default: '1800',
    form: 'uint64',
    min: 0,
    max: 1_000_000_000,
    help: 'Most megabytes of that file. It begins anew at half of them, and the one before is kept beside it as .1. 0: no limit.',
  }),
  alsologtostderr: boolean({ group, default: 'false', help: 'Log to standard error beside the file.' }),
  alsologtostderrthreshold: severity({
    group,
    default: '0',
    help: 'Least severe line that --alsologtostderr is about: INFO, WARNING, ERROR, FATAL or 0 to 3.',
  }),
  stderrthreshold: severity({
    group,
    default: '2',
    help: 'Least severe line that goes to standard error beside the file without --alsologtostderr.',
  }),
  legacyStderrThresholdBehavior: boolean({
    group,
    default: 'true',
    help: 'False: --stderrthreshold also holds where the log goes to standard error only.',
  }),
  skipHeaders: boolean({ group, default: 'false', help: 'Leave out time, level and program from lines of text.' }),
}

const idle = { group: IDLE_GROUP }
export const idleKlogOptions = {
  addDirHeader: boolean({ ...idle, default: 'false', help: 'Lines name no source file.' }),
  logBacktraceAt: traceLocation({ ...idle, default: ':0', help: 'There are no stack traces by source line.' }),
  oneOutput: boolean({ ...idle, default: 'false', help: 'There is one file for all severities.' }),
  skipLogHeaders: boolean({ ...idle, default: 'false', help: 'Files have no header.' }),
}
export type KlogOptions = Values<typeof klogOptions>

type About = { readonly group: string; readonly default: string; readonly help: string }

/** In the order of klog's severities; its FATAL, 3, is never logged here. */
const SEVERITIES = ['INFO', 'WARNING', 'ERROR', 'FATAL']

function severity(about: About): Option<number> {
  const parse = (given: string): Parsed<number> => {
    const named = SEVERITIES.indexOf(given.toUpperCase())
    if (named !== -1) return { value: named }
    const read = readGoInteger(given, 'decimal32')
    return read.kind === 'integer' ? { value: read.value } : { expected: `${SEVERITIES.join(', ')} or a number` }
  }
  return { ...about, takes: 'severity', shape: 'single', parse }
}

export type ModuleLevel = { readonly pattern: string; readonly v: number }

function modules(about: About): Option<readonly ModuleLevel[]> {
  const parse = (given: string): Parsed<readonly ModuleLevel[]> => {
    const items = given.split(',').filter((item) => item !== '')
    const levels = items.map((item) => {
      const [, pattern = '', digits = ''] = /^([^=]+)=([^=-]+)$/.exec(item) ?? []
      const read = readGoInteger(digits, 'decimal32')
      return read.kind === 'integer' ? { pattern, v: read.value } : undefined
    })
    if (levels.includes(undefined)) return { expected: 'a comma-separated list of pattern=N' }
    return { value: levels.filter((level) => level !== undefined) }
  }
  return { ...about, takes: 'list', shape: 'single', parse }
}

function traceLocation(about: About): Option<string> {
  const isGood = /^(?::0|[^:]*\.[^:]*:\+?0*[1-9]\d*|)$/
  const parse = (given: string): Parsed<string> =>
    isGood.test(given) ? { value: given } : { expected: 'a place such as file.go:234' }
  return { ...about, takes: 'place', shape: 'single', parse }
}
