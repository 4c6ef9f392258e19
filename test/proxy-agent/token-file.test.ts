import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { watchTokenFile } from '../../src/proxy-agent/token-file.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const LOOK_MS = 5_000

t.test('tells of each token that comes, and nothing of what is in it', async (t) => {
  const file = join(temporaryFolder(t), 'token')
  writeFileSync(file, 'hunter1')
  const [clock, log] = [manualClock(), recordedLog()]
  let changes = 0
  const watch = watchTokenFile(file, { clock, log, changed: () => changes++ })
  const looks = (): void => {
    clock.advance(LOOK_MS)
    clock.advance(LOOK_MS)
  }
  looks()
  t.equal(changes, 0)
  writeFileSync(file, 'hunter2\n')
  looks()
  t.equal(changes, 1)
  writeFileSync(file, '')
  looks()
  writeFileSync(file, 'hunter2')
  looks()
  t.equal(changes, 1)
  watch?.[Symbol.dispose]()
  writeFileSync(file, 'hunter3')
  looks()
  t.equal(changes, 1)
  t.match(log.messages('info'), [/^token changed/, /^token cannot be read/, /^token can be read again/])
  t.notMatch(JSON.stringify(log.lines), /hunter/)
})

t.test("tells of the kubelet's exchange: of a link to a folder, beside which the token's own link stays", async (t) => {
  const folder = temporaryFolder(t)
  const write = (version: string, token: string): void => {
    mkdirSync(join(folder, version))
    writeFileSync(join(folder, version, 'token'), token)
    symlinkSync(version, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  write('..1', 'hunter1')
  symlinkSync(join('..data', 'token'), join(folder, 'token'))
  const [clock, log] = [manualClock(), recordedLog()]
  let changes = 0
  const watch = watchTokenFile(join(folder, 'token'), { clock, log, changed: () => changes++ })
  write('..2', 'hunter2')
  clock.advance(LOOK_MS)
  clock.advance(LOOK_MS)
  t.equal(changes, 1)
  t.equal(watch?.current(), 'hunter2')
})

t.test('a file that is not there at first is no alarm but for the log, and none at all is not looked at', async (t) => {
  const file = join(temporaryFolder(t), 'token')
  const [clock, log] = [manualClock(), recordedLog()]
  t.equal(watchTokenFile('', { clock, log, changed: () => undefined }), undefined)
  let changes = 0
  watchTokenFile(file, { clock, log, changed: () => changes++ })
  writeFileSync(file, 'hunter1')
  clock.advance(LOOK_MS)
  clock.advance(LOOK_MS)
  t.equal(changes, 1)
})
