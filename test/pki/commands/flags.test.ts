/** The flags that several commands share, as a command line gives them. */
import t from 'tap'
import {
  AUTHORITY_FOLDER,
  clusterFlag,
  folderFlag,
  forceFlag,
  lifetimeFlag,
  outputFlag,
  trustDomainFlag,
} from '../../../src/pki/commands/flags.ts'
import { type Flag, readLine } from '../../../src/platform/command-line.ts'

function read(
  flag: Flag,
  ...argv: string[]
): { readonly value: string | undefined; readonly problems: readonly string[] } {
  const { given, problems } = readLine({ flag }, argv)
  return { value: given.value('flag'), problems }
}
const accepts = (flag: Flag, text: string): boolean => read(flag, `--flag=${text}`).problems.length === 0

t.test('the folder of the CA is ./pki, or any other', async (t) => {
  t.equal(AUTHORITY_FOLDER, 'pki')
  t.equal(read(folderFlag).value, AUTHORITY_FOLDER)
  t.strictSame(read(folderFlag, '--flag', '/a b/c'), { value: '/a b/c', problems: [] })
})

t.test('files are replaced only where that is asked for, without a value', async (t) => {
  t.notOk(readLine({ force: forceFlag }, []).given.isSet('force'))
  t.ok(readLine({ force: forceFlag }, ['--force']).given.isSet('force'))
  t.strictSame(readLine({ force: forceFlag }, ['--force=no']).problems, ['--force: takes no value'])
})

t.test('output is for people unless it is to be JSON, and nothing else', async (t) => {
  t.equal(read(outputFlag).value, 'text')
  for (const argv of [['-o', 'json'], ['--flag=json']]) t.equal(read(outputFlag, ...argv).value, 'json')
  t.equal(read(outputFlag, '-o', 'text').value, 'text')
  for (const text of ['yaml', 'JSON']) {
    t.strictSame(read(outputFlag, '-o', text).problems, [`-o: expected text or json, got "${text}"`])
  }
})

t.test('a lifetime is the one of the command, or one that can be read and is in range', async (t) => {
  t.equal(read(lifetimeFlag('30d')).value, '30d')
  for (const text of ['1s', '24h', '1d12h', '36500d']) t.ok(accepts(lifetimeFlag('30d'), text), text)
  for (const text of ['30', '0s', '36501d', 'a year']) {
    const expected = `--flag: expected a lifetime from 1s to 36500d, such as 365d or 24h, got "${text}"`
    t.strictSame(read(lifetimeFlag('30d'), `--flag=${text}`), { value: '30d', problems: [expected] })
  }
})

t.test('a trust domain is in lower case, without a scheme or a path', async (t) => {
  const flag = trustDomainFlag('Whose.')
  t.equal(flag.help, 'Whose.')
  t.equal(read(flag).value, undefined)
  for (const text of ['hub.example', 'a_b-1']) t.ok(accepts(flag, text), text)
  for (const text of ['Hub.example', 'spiffe://hub.example', 'hub.example/user', 'hüb.example']) {
    const { problems } = read(flag, `--flag=${text}`)
    t.match(problems, [/^--flag: expected a trust domain such as hub\.example, /], text)
  }
})

t.test('a cluster is a DNS label', async (t) => {
  t.equal(read(clusterFlag).value, undefined)
  for (const text of ['default', 'eu-1', '1', 'a'.repeat(63)]) t.ok(accepts(clusterFlag, text), text)
  for (const text of ['eu.1', 'EU-1', 'eu-', '*', 'a'.repeat(64)]) {
    const { problems } = read(clusterFlag, `--flag=${text}`)
    t.match(problems, [/^--flag: expected a cluster id that is a DNS label such as default or eu-1, /], text)
  }
})
