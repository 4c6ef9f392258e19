/** What each command says of a line that makes no sense. That it then does nothing, test/cli/pki.test.ts shows. */
import t from 'tap'
import { type Command, readLine } from '../../../src/pki/command-line.ts'
import { init } from '../../../src/pki/commands/init.ts'
import { issue } from '../../../src/pki/commands/issue.ts'
import { show } from '../../../src/pki/commands/show.ts'
import { verify } from '../../../src/pki/commands/verify.ts'

async function problemsOf(command: Command, ...argv: string[]): Promise<readonly string[]> {
  const { given, problems } = readLine(command.flags, argv)
  const outcome = await command.run(given, problems, 0)
  return outcome.kind === 'refused' ? outcome.problems : [`not refused, but ${outcome.kind}`]
}

t.test('init wants a trust domain, and flags only', async (t) => {
  t.strictSame(await problemsOf(init, 'extra', '--lifetime', '1y'), [
    '--lifetime: expected a lifetime from 1s to 36500d, such as 365d or 24h, got "1y"',
    '"extra": unexpected; init takes flags only',
    '--trust-domain: must be set, for example to hub.example',
  ])
  t.match(await problemsOf(init, '--trust-domain', 'Hub'), [/^--trust-domain: expected a trust domain .*, got "Hub"$/])
  t.strictSame(await problemsOf(init, '--trust-domain='), ['--trust-domain: needs a value <name>'])
})

t.test('issue wants a role, a name, and flags that have an effect on it', async (t) => {
  t.strictSame(await problemsOf(issue), ['say for whom: one of agent, apiserver, user, server, and a name'])
  t.match(await problemsOf(issue, 'admin', 'x'), [/^"admin": unknown role: expected one of agent, /])
  t.strictSame(await problemsOf(issue, 'agent'), ['give the name of the agent: culvert pki issue agent <name>'])
  t.match(await problemsOf(issue, 'agent', '..'), [/^"\.\.": expected a name/])
  t.match(await problemsOf(issue, 'user', 'ca'), [/^"ca": is the name of the CA's own files/])
  t.match(await problemsOf(issue, 'apiserver', 'CA'), [/^"CA": is the name of the CA's own files/])
  t.match(await problemsOf(issue, 'user', 'a', '--cluster', 'c'), [/^--cluster: a user belongs to no cluster/])
  t.match(await problemsOf(issue, 'server', 's'), [/^--dns or --ip: must be set for a server/])
  t.match(await problemsOf(issue, 'server', 'a/b', 'c', '--cluster', 'X', '--ip', 'hub.example', '--dns', 'a b'), [
    /^--cluster: expected a cluster id that is a DNS label such as default or eu-1, got "X"$/,
    /^--ip: expected an IP address .*, got "hub\.example"$/,
    /^--dns: expected a DNS name .*, got "a b"$/,
    /^"c": unexpected; issue takes a role and a name$/,
    /^"a\/b": expected a name of 1 to 253 letters/,
    /^--cluster: a server belongs to no cluster: leave it out$/,
  ])
})

t.test('show and verify want certificate files', async (t) => {
  t.match(await problemsOf(show, '-o', 'xml'), [
    /^-o: expected text or json, got "xml"$/,
    /^name the certificate files/,
  ])
  t.match(await problemsOf(verify, '--role', 'admin', '--name', 'a/b', '--cluster', ''), [
    /^--role: expected one of agent, apiserver, user, server, got "admin"$/,
    /^--name: expected a name, got "a\/b"$/,
    /^--cluster: needs a value <id>$/,
    /^name the certificate file to verify$/,
  ])
  t.match(await problemsOf(verify, 'a', 'b'), ['"b": unexpected; verify takes one file'])
})
