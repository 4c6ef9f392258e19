import t from 'tap'
import { boolean, bytes, duration, integer, list, oneOf, text } from '../../src/platform/option-types.ts'
import {
  type Environment,
  flagOf,
  type Rule,
  readOptions,
  shownOptions,
  type Values,
} from '../../src/platform/options.ts'

const table = {
  serverHost: text({ help: 'Host.' }),
  serverPort: integer({ default: '8091', min: 1, max: 65_535, help: 'Port.' }),
  dialTimeoutMs: duration({ default: '5s', help: 'Wait.' }),
  headBytes: bytes({ default: '16KiB', help: 'Head.', max: 1_048_576 }),
  serverCount: integer({ default: '1', help: 'Count.', min: 1 }),
  deleteExisting: boolean({ default: 'true', help: 'Delete.' }),
  logFormat: oneOf(['text', 'json'], { default: 'text', help: 'Format.' }),
  alpnProto: list({ default: '', help: 'Protocols.' }),
  id: text({
    default: { shown: 'made', make: () => 'made-1' },
    help: 'Id.',
    flag: 'agent-id',
    environment: 'AGENT_ID',
  }),
  token: text({ default: '', help: 'Token.', secret: true }),
}
type Options = Values<typeof table>

const given = (argv: string[], rules: Rule<Options>[] = [], environment: Environment = {}) =>
  readOptions(table, ['--server-host=hub', ...argv], rules, environment)
const valuesOf = (argv: string[], environment: Environment = {}): Partial<Options> => {
  const read = given(argv, [], environment)
  return read.ok === true ? read.values : {}
}
const problemsOf = (argv: string[], rules: Rule<Options>[] = [], environment: Environment = {}) => {
  const read = given(argv, rules, environment)
  return read.ok === false ? [...read.misread, ...read.problems] : []
}

t.test('gives the defaults, each in its own type', async (t) => {
  const values = valuesOf([])
  t.strictSame(
    { ...values },
    {
      serverHost: 'hub',
      serverPort: 8091,
      dialTimeoutMs: 5_000,
      headBytes: 16_384,
      serverCount: 1,
      deleteExisting: true,
      logFormat: 'text',
      alpnProto: [],
      id: 'made-1',
      token: '',
    },
  )
  t.ok(Object.isFrozen(values))
})

t.test('derives the flag from the key, a duration without its unit', async (t) => {
  t.equal(flagOf('serverPort', table.serverPort), 'server-port')
  t.equal(flagOf('dialTimeoutMs', table.dialTimeoutMs), 'dial-timeout')
  t.equal(flagOf('headBytes', table.headBytes), 'head-bytes')
  t.equal(flagOf('id', table.id), 'agent-id')
})

t.test('takes a default from the environment when the flag is absent and the variable says something', async (t) => {
  t.equal(valuesOf([], { AGENT_ID: 'from-env' }).id, 'from-env')
  t.equal(valuesOf([], { AGENT_ID: '' }).id, 'made-1')
  t.equal(valuesOf(['--agent-id=flag'], { AGENT_ID: 'from-env' }).id, 'flag')
})

t.test('answers a wish for help or the version, whatever else is wrong', async (t) => {
  t.strictSame(given(['--no-such', '--help']), { ok: 'asked', for: 'help' })
  t.strictSame(readOptions(table, ['-h'], []), { ok: 'asked', for: 'help' })
  t.strictSame(readOptions(table, ['--version'], []), { ok: 'asked', for: 'version' })
})

t.test('reports every mistake at once, each with its flag, what was expected and what was given', async (t) => {
  const argv = [
    '--server-port=70000',
    '--dial-timeout=5',
    '--head-bytes=2MiB',
    '--server-count=0',
    '--delete-existing=perhaps',
    '--log-format=xml',
    '--no-such=1',
    '-x',
    '--token',
  ]
  const read = readOptions(table, argv, [() => 'and a rule is broken'])
  t.strictSame(read, {
    ok: false,
    misread: [
      'invalid argument "70000" for "--server-port" flag: expected a whole number from 1 to 65535',
      'invalid argument "5" for "--dial-timeout" flag: expected a duration such as 250ms, 10s or 5m',
      'invalid argument "2MiB" for "--head-bytes" flag: expected a size such as 512, 16KiB or 4MiB from 0B to 1MiB',
      'invalid argument "0" for "--server-count" flag: expected a whole number, at least 1',
      'invalid argument "perhaps" for "--delete-existing" flag: expected true or false',
      'invalid argument "xml" for "--log-format" flag: expected one of text, json',
      'unknown flag: --no-such',
      "unknown shorthand flag: 'x' in -x",
      'flag needs an argument: --token',
    ],
    problems: ['--server-host: must be set', 'and a rule is broken'],
  })
})

t.test('gives a rule that an option has for itself with the other rules', async (t) => {
  const own = { mode: oneOf(['a'], { default: 'a', help: 'Mode.', refusal: (given) => `no mode ${given}` }) }
  t.strictSame(readOptions(own, ['--mode=b', '--mode=c'], [({ mode }) => `mode ${mode}`, () => 'more']), {
    ok: false,
    misread: [],
    problems: ['no mode c', 'more'],
  })
})

t.test('says which variable a bad default came from', async (t) => {
  const fromEnvironment = { count: integer({ default: '1', help: 'Count.', environment: 'COUNT' }) }
  t.match(readOptions(fromEnvironment, [], [], { COUNT: 'many' }), {
    misread: ['COUNT: expected a whole number, got "many"'],
  })
})

t.test('leaves out a rule that looks at a value which could not be read', async (t) => {
  const rule: Rule<Options> = ({ serverPort, serverCount }) => (serverPort > serverCount ? 'too many ports' : undefined)
  t.strictSame(problemsOf([], [rule]), ['too many ports'])
  t.strictSame(problemsOf(['--server-port=x'], [rule]), [
    'invalid argument "x" for "--server-port" flag: expected a whole number from 1 to 65535',
  ])
})

t.test('lets an error of a rule itself through', async (t) => {
  const broken: Rule<Options> = () => {
    throw new Error('a defect')
  }
  t.throws(() => given([], [broken]), { message: 'a defect' })
})

t.test('never shows a secret', async (t) => {
  const secret = { pin: integer({ help: 'Pin.', secret: true }), count: integer({ default: '1', help: 'Count.' }) }
  const read = readOptions(secret, ['--pin=canary'], [])
  t.strictSame(read, {
    ok: false,
    misread: ['invalid argument that is not shown for "--pin" flag: expected a whole number'],
    problems: [],
  })
  t.strictSame(shownOptions(secret, { pin: 4711, count: 2 }), { count: 2 })
})
