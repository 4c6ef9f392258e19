/** What `culvert status` says about what it was given, and of a hub that is none. Of a real one: `test/integration/fleet.test.ts`. */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { culvert, type Ended } from './run-culvert.ts'

const status = (...argv: string[]): Promise<Ended> => culvert('status', ...argv)

/** Answers everything with that text. */
async function serve(t: Test, text: string): Promise<{ readonly url: string; readonly tokens: unknown[] }> {
  const tokens: unknown[] = []
  const server = createServer(({ headers }, response) => {
    tokens.push(headers.authorization)
    response.end(text)
  })
  t.teardown(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `--server=http://127.0.0.1:${(server.address() as AddressInfo).port}`, tokens }
}

t.test('a token goes over http to this machine only', async (t) => {
  const file = join(t.testdir(), 'token')
  writeFileSync(file, 'a-token-of-the-admin-port\n', { mode: 0o600 })
  const { url, tokens } = await serve(t, '{"clusters":[]}')
  const token = `--token-file=${file}`
  t.match(await status(url, token), { code: 0, stderr: '' })
  t.strictSame(tokens, ['Bearer a-token-of-the-admin-port'])
  for (const server of ['http://192.0.2.1:8095', 'http://[2001:db8::1]:8095', 'http://hub.example:8095']) {
    t.match(await status(`--server=${server}`, token), {
      code: 1,
      stderr: /^culvert status: --token-file needs https:\/\/ beyond this machine: a token is not shown in clear\n/,
    })
  }
  for (const server of ['http://[::1]:1', 'http://localhost:1', 'https://192.0.2.1:x']) {
    const { stderr } = await status(`--server=${server}`, token)
    t.notMatch(stderr, 'beyond this machine', server)
    t.match(stderr, /could not ask|--server/, server)
  }
})

t.test('who answers something else is no hub, in every form', async (t) => {
  const { url } = await serve(t, '<html>')
  for (const more of [[], ['-o', 'json'], ['-o', 'yaml'], ['eu-1']]) {
    const { code, stdout, stderr } = await status(url, ...more)
    t.equal(code, 1)
    t.equal(stdout, '')
    t.equal(stderr, 'culvert status: the answer is no JSON: is it the admin port of a proxy-server?\n')
  }
})

t.test('words of agents do not steer the terminal', async (t) => {
  const agents = [{ agentId: 'a\u009b31m', connections: 0, draining: false, lastHeardAt: '2030-01-01T00:00:00.000Z' }]
  const cluster = { id: 'eu-1', state: 'lost', since: '2030-01-01T00:00:00.000Z', reason: 'x\u009d0;y\u0007', agents }
  const { url } = await serve(t, JSON.stringify({ clusters: [cluster] }))
  for (const form of ['text', 'wide', 'json', 'yaml']) {
    const { code, stdout } = await status(url, '-o', form)
    t.equal(code, 0)
    t.match(stdout, 'eu-1')
    t.notMatch(stdout.replaceAll('\n', ''), /[\p{Cc}]/u, form)
  }
})
