import t from 'tap'
import { type Arguments, readArguments } from '../../src/platform/option-arguments.ts'
import { boolean, integer, list, text } from '../../src/platform/option-types.ts'

const known = [
  { ...integer({ default: '8091', help: 'Port.' }), flag: 'server-port' },
  { ...integer({ default: '4', letter: 'v', help: 'Verbosity.' }), flag: 'v' },
  { ...text({ default: '', letter: 'n', help: 'Name.' }), flag: 'name' },
  { ...boolean({ default: 'true', help: 'Delete.' }), flag: 'delete' },
  { ...list({ default: '', help: 'Protocols.' }), flag: 'alpn-proto' },
  { ...text({ default: '', formerly: 'label', help: 'Selector.' }), flag: 'selector' },
]
const read = (...argv: string[]): Arguments => readArguments(known, argv)
const given = (...argv: string[]): Record<string, readonly string[]> => Object.fromEntries(read(...argv).given)
const mistakes = (...argv: string[]): readonly string[] => read(...argv).mistakes

t.test('reads a value after an equals sign or as the next word, even one that looks like a flag', async (t) => {
  t.strictSame(given('--server-port=1'), { 'server-port': ['1'] })
  t.strictSame(given('--server-port', '-5'), { 'server-port': ['-5'] })
  t.strictSame(given('--name=a=b', '--name', '--help'), { name: ['a=b', '--help'] })
  t.strictSame(given('--name='), { name: [''] }, 'empty is a value')
})

t.test('reads a boolean alone or after an equals sign, never from the next word', async (t) => {
  t.strictSame(given('--delete', 'false', '--delete=F'), { delete: ['true', 'F'] })
})

t.test(
  'reads the short form of a flag with its value attached, after an equals sign or as the next word',
  async (t) => {
    t.strictSame(given('-v2', '-v=3', '-v', '4', '--v=5', '--v', '6'), { v: ['2', '3', '4', '5', '6'] })
    t.strictSame(given('-n=', '-n=v', '-nv', '-n', '-v'), { name: ['=', 'v', 'v', '-v'] })
    t.strictSame(given('-n=a\nb'), { name: ['a\nb'] })
  },
)

t.test('takes the former name of a flag as its own', async (t) => {
  t.strictSame(given('--label=a', '--selector=b', '--label', 'c'), { selector: ['a', 'b', 'c'] })
})

t.test('keeps all that was given, in order', async (t) => {
  t.strictSame(given('--alpn-proto=a,b', '--alpn-proto', 'c'), { 'alpn-proto': ['a,b', 'c'] })
})

t.test('ignores words that are no flags, and everything after a double dash', async (t) => {
  t.strictSame(given('stray', '-', '--server-port=7', 'more', '--', '--no-such', '--server-port=8'), {
    'server-port': ['7'],
  })
  t.strictSame(mistakes('stray', '-', '--', '--no-such', '-x'), [])
})

t.test('tells every mistake in pflag’s words, in the order of the command line', async (t) => {
  t.strictSame(mistakes('--server-port=x', '--no-such=1', '-x', '-é1', '--=x', '---', '-vx', '--v', 'y', '--label'), [
    'invalid argument "x" for "--server-port" flag: expected a whole number',
    'unknown flag: --no-such',
    "unknown shorthand flag: 'x' in -x",
    "unknown shorthand flag: 'é' in -é1",
    'bad flag syntax: --=x',
    'bad flag syntax: ---',
    'invalid argument "x" for "-v, --v" flag: expected a whole number',
    'invalid argument "y" for "-v, --v" flag: expected a whole number',
    'flag needs an argument: --label',
  ])
  t.strictSame(mistakes('-n'), ["flag needs an argument: 'n' in -n"])
  t.strictSame(mistakes('--delete=perhaps'), ['invalid argument "perhaps" for "--delete" flag: expected true or false'])
  t.strictSame(mistakes('--server-port=x', '--server-port=1').length, 1, 'also where a later one is good')
})

t.test('reads a boolean’s letter with others behind it', async (t) => {
  t.strictSame(given('-hv3', '-hn', 'x', '-h=0'), { help: ['true', 'true', '0'], v: ['3'], name: ['x'] })
  t.strictSame(mistakes('-ht', '-h=', '-h=x', '-hv'), [
    "unknown shorthand flag: 't' in -t",
    "unknown shorthand flag: '=' in -=",
    'invalid argument "x" for "-h, --help" flag: expected true or false',
    "flag needs an argument: 'v' in -v",
  ])
})

t.test('sees a wish for help or the version, and none in a value', async (t) => {
  t.equal(read('--no-such', '--help').asked, 'help')
  t.equal(read('-h').asked, 'help')
  t.equal(read('--version').asked, 'version')
  t.equal(read('--version', '--help=T').asked, 'help')
  t.equal(read('--version=1', '--help', '--help=false').asked, 'version')
  t.equal(read('--version=0', '-h=false', '--help=perhaps').asked, undefined)
  t.equal(read('--name', '-h').asked, undefined)
  t.equal(read('--', '--help').asked, undefined)
})
