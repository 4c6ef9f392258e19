import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { demonstrate } from './demonstration.ts'

const UP = /\nUp until Ctrl-C/
const GONE = /every process has ended and every file is gone\.\n$/

t.test('shows each step, the answer and the heartbeat record with --once, and leaves nothing behind', async (t) => {
  const demo = demonstrate(t, ['--once'])
  t.equal(await demo.ended(), 0)
  const shown = demo.text()
  const titles = [...shown.matchAll(/^ +\d+ ms {2}(.{17})/gm)].map(([, title = '']) => title.trim())
  t.strictSame(titles, [
    ...['certificates', 'private service', 'proxy-server'],
    ...['without an agent', 'proxy-agent', 'with the agent', 'heartbeat'],
  ])
  t.match(shown, /without an agent CONNECT 127\.0\.0\.1:\d+: 500 currently no tunnels available: No agent available\n/)
  t.match(shown, /with the agent +CONNECT 127\.0\.0\.1:\d+: 200 Connection Established\n +GET \/: 200 OK\n/)
  t.match(shown, /\nThe service answered:\n {2}Hello from the private service: connection 1, from 127\.0\.0\.1:\d+\.\n/)
  t.match(shown, /\n {2}agentId +demo-agent\n[\s\S]*\n {2}heartbeatSeq +[1-9]\d*\n {2}roundTripMs +\d+/)
  t.match(shown, GONE)
  t.strictSame(demo.left(), [])
})

const curl = curlWithHttpsProxy()

t.test('stays up, and prints a line for curl that works', { skip: curl }, async (t) => {
  const demo = demonstrate(t)
  await demo.printed(UP)
  const [, line = ''] = await demo.printed(/\n {2}(curl .*)\n/)
  const child = spawn('sh', ['-c', `${line} --silent --show-error --max-time 20 --write-out '%{http_connect}'`], {
    env: { ...process.env, no_proxy: '127.0.0.1' }, // leads past the tunnel, if the line lets it
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  t.equal(stderr, '')
  t.match(stdout, /^Hello from the private service: connection 2, .*\n200$/)
  demo.child.kill('SIGINT')
  t.equal(await demo.ended(), 0)
  t.match(demo.text(), GONE)
  t.strictSame(demo.left(), [])
})

t.test('ends in order on any number of signals, whenever they come', async (t) => {
  const end = async (moment: RegExp, signals: readonly NodeJS.Signals[], code: number): Promise<void> => {
    const demo = demonstrate(t)
    await demo.printed(moment)
    for (const signal of signals) demo.child.kill(signal)
    t.equal(await demo.ended(), code, `${signals} at ${moment}`)
    t.match(demo.text(), GONE)
    t.strictSame(demo.left(), [])
  }
  await Promise.all([
    end(/certificates/, ['SIGTERM'], 143),
    end(/proxy-server/, ['SIGINT', 'SIGINT'], 130),
    end(UP, ['SIGTERM'], 0),
    end(UP, ['SIGINT', 'SIGINT', 'SIGHUP'], 0),
  ])
})

t.test('ends when one of its programs does, with the last lines of each, and leaves nothing behind', async (t) => {
  const demo = demonstrate(t)
  const [, pid] = await demo.printed(/proxy-server +process (\d+)/)
  await demo.printed(UP)
  process.kill(Number(pid), 'SIGKILL')
  t.equal(await demo.ended(), 1)
  t.match(demo.text(), /\n +failed {2}staying up +proxy-server ended with SIGKILL\n/)
  t.match(demo.text(), /\nThe last that proxy-server said:\n(?: .*\n)* .* agent connected/)
  t.match(demo.text(), /\nThe last that proxy-agent said:\n(?: .*\n)* .* running/)
  t.match(demo.text(), GONE)
  t.strictSame(demo.left(), [])
})

t.test('ends when one of its programs does before all steps are done', async (t) => {
  const demo = demonstrate(t, ['--once'])
  const [, pid] = await demo.printed(/proxy-server +process (\d+)/)
  process.kill(Number(pid), 'SIGKILL')
  t.equal(await demo.ended(), 1)
  t.match(demo.text(), /\n +failed {2}\S/)
  t.notMatch(demo.text(), /\nThe service answered/)
  t.match(demo.text(), GONE)
  t.strictSame(demo.left(), [])
})

t.test('ends a program that no longer obeys', async (t) => {
  const demo = demonstrate(t)
  const [, pid] = await demo.printed(/proxy-agent +process (\d+)/)
  await demo.printed(UP)
  process.kill(Number(pid), 'SIGSTOP')
  demo.child.kill('SIGINT')
  t.equal(await demo.ended(), 0)
  t.strictSame(demo.left(), [])
})

t.test('leaves nothing behind when nobody reads what it prints', async (t) => {
  const demo = demonstrate(t)
  await demo.printed(/Culvert/)
  demo.child.stdout?.destroy()
  t.equal(await demo.ended(), 1)
  t.strictSame(demo.left(), [])
})

t.test('is what npm runs, and ends with Ctrl-C in its terminal', async (t) => {
  const demo = demonstrate(t, [], ['npm', 'run', 'demo'])
  await demo.printed(UP)
  process.kill(-(demo.child.pid as number), 'SIGINT') // the terminal tells the whole group, and npm tells its child again
  await demo.ended()
  t.match(demo.text(), /SIGINT: every process has ended and every file is gone\.\n/)
  t.strictSame(demo.left(), [])
})

t.test('shows help, and names each flag that it does not know', async (t) => {
  const help = demonstrate(t, ['--help'])
  t.equal(await help.ended(), 0)
  t.match(help.text(), /Usage: npm run demo \[-- flags\]\n[\s\S]*--once /)
  const wrong = demonstrate(t, ['--twice', '--once', 'now'])
  t.equal(await wrong.ended(), 1)
  t.equal(wrong.text(), 'demo: --twice: unknown flag\ndemo: now: unknown flag\n"npm run demo -- --help" says more\n')
  t.strictSame(wrong.left(), [])
})

/** Why curl cannot show it here, if it cannot. */
function curlWithHttpsProxy(): string | false {
  try {
    return execFileSync('curl', ['--version'], { encoding: 'utf8' }).includes('HTTPS-proxy')
      ? false
      : 'curl is built without HTTPS-proxy'
  } catch {
    return 'there is no curl'
  }
}
