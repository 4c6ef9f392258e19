import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createJoinToken, writeJoinToken } from '../../src/pki/join-token.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { joinHub } from '../../src/proxy-agent/join.ts'

t.test('who cannot store what it would get asks for nothing, which would use the token up', async (t) => {
  const folder = t.testdir()
  const file = (name: string) => join(folder, name)
  writeFileSync(file('token'), `${writeJoinToken(createJoinToken('0'.repeat(64)))}\n`, { mode: 0o600 })
  let asked = 0
  const lookup = () => {
    asked++
  }
  const hub = { host: 'hub.invalid', port: 1, protocol: {}, alpn: [], lookup } as never
  const log = { info() {}, warn() {}, error() {}, debug() {} } as never
  const said = (flag: string, path: string, folder: string) =>
    `${flag}: the folder of ${path} is not there: make ${folder} first`
  for (const [bad, folder, message] of [
    ['cert', 'nowhere', said('--agent-cert', file('nowhere/cert'), file('nowhere'))],
    ['ca', 'nowhere', said('--ca-cert', file('nowhere/ca'), file('nowhere'))],
    ['cert', 'token', `${file('token')}: cannot be written to: not a directory`],
  ] as const) {
    const path = (name: string) => (name === bad ? file(`${folder}/${name}`) : file(name))
    const options = { tokenFile: file('token'), caFile: path('ca'), files: { cert: path('cert'), key: file('key') } }
    const deps = { clock: systemClock, log, random: () => 0, signal: AbortSignal.timeout(3_000) }
    await t.rejects(joinHub({ ...options, hubs: [hub] }, deps), {
      code: 'bad-option',
      message,
    })
  }
  t.equal(asked, 0)
  t.notOk(existsSync(file('nowhere')))
  t.strictSame(readdirSync(folder).sort(), ['key.next', 'token'])
})
