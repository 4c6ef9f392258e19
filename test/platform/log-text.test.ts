import t from 'tap'
import { logLine } from '../../src/platform/log-text.ts'

const about = { level: 'info', time: '2026-08-01T10:00:00.000Z', program: 'proxy-agent' }
const line = (fields: object): string => logLine(JSON.stringify({ ...about, ...fields }), true)
const head = '2026-08-01T10:00:00.000Z info  proxy-agent:'

t.test('gives time, level, message and fields, in this order', async (t) => {
  t.equal(
    line({ server: 's-1', waited_ms: 250, ok: true, msg: 'connected' }),
    `${head} connected server=s-1 waited_ms=250 ok=true\n`,
  )
  t.match(line({ level: 'error', msg: 'lost' }), / error proxy-agent: lost\n$/)
})

t.test('leaves out time, level and program where they are not wanted', async (t) => {
  t.equal(logLine(JSON.stringify({ ...about, msg: 'connected', server: 's-1' }), false), 'connected server=s-1\n')
})

t.test('quotes a text that is not plain, so that fields can be told apart', async (t) => {
  t.equal(line({ msg: 'm', a: '', b: 'x y', c: 'k=v', d: '"' }), `${head} m a="" b="x y" c="k=v" d="\\""\n`)
  t.equal(
    line({ msg: 'm', address: '[fd00::1]:443', path: '/a/b.pem' }),
    `${head} m address="[fd00::1]:443" path=/a/b.pem\n`,
  )
})

t.test('keeps every event on one line, whatever a peer wrote', async (t) => {
  const forged = line({
    msg: 'a\nb\u2028c',
    id: 'x\r\n2026 error proxy-agent: forged',
    'k\ney': 1,
    dark: '\u001b[8m\u202e',
  })
  t.equal(forged.split(/[\n\r\u2028\u2029]/).length, 2, 'the line and its end')
  t.notOk(['\u001b', '\u202e'].some((character) => forged.includes(character)))
})

t.test('flattens objects and keeps lists', async (t) => {
  t.equal(
    line({ msg: 'm', ports: { agent: 1, health: { a: 2 } }, list: ['a', 'b'], none: null }),
    `${head} m ports.agent=1 ports.health.a=2 list=["a","b"] none=null\n`,
  )
})

t.test('shows an error by its message and code, without the stack', async (t) => {
  const err = { type: 'TunnelError', message: 'no agent: gone', code: 'no-agent', stack: 'Error\n  at x' }
  t.equal(line({ msg: 'failed', err }), `${head} failed err="no agent: gone" code=no-agent\n`)
  t.equal(line({ msg: 'failed', err: { message: 'plain' } }), `${head} failed err=plain\n`)
})
