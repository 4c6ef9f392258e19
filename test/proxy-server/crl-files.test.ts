import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { MAX_CRL_FILE_BYTES } from '../../src/pki/crl-file.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { watchCrlFiles } from '../../src/proxy-server/crl-files.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { openSslCa } from '../integration/openssl.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const [authority, other] = await Promise.all([1, 2].map(() => createAuthority({ trustDomain: 'hub.example' })))
const LOOK_MS = 1_000

async function listOf(
  t: Test,
  serials: readonly string[],
  by = authority!,
  lifetimeMs = 60_000,
  nowUnixMs = 0,
): Promise<Buffer> {
  const folder = t.testdir()
  await updateList(folder, by, { serials, lifetimeMs, nowUnixMs })
  return readFileSync(join(folder, 'crl.pem'))
}

async function setup(t: Test, bytes: Buffer) {
  const file = join(temporaryFolder(t), 'lists.pem')
  writeFileSync(file, bytes)
  const [clock, log, changes] = [manualClock(), recordedLog(), [] as string[]]
  const options = { clusterCrlFile: file, serverCrlFile: '' }
  const ports = { material: () => ({ ca: authority!.certificatePem }) }
  const files = watchCrlFiles(options, ports, { clock, log, changed: (port) => changes.push(port) })
  t.teardown(() => files[Symbol.dispose]())
  const look = (): void => {
    for (let looks = 0; looks < 2; looks++) clock.advance(LOOK_MS)
  }
  return { file, files, log, look, changes, clock }
}

t.test('lists are used when they change, on the port that they are for', async (t) => {
  const [one, two] = [await listOf(t, ['01']), await listOf(t, ['01', '02'])]
  const { file, files, look, changes } = await setup(t, one)
  t.equal(files.current('frontend'), undefined)
  t.equal(files.current('agent')?.count, 1)
  look()
  t.strictSame(changes, [])
  writeFileSync(file, two)
  look()
  t.strictSame(changes, ['agent'])
  t.equal(files.current('agent')?.count, 2)
  t.equal(files.current('agent')?.strangers, 0)
})

t.test('a list that is older than the one before is warned of, and counts', async (t) => {
  const old = await listOf(t, ['01'])
  const { file, files, log, look } = await setup(t, await listOf(t, ['01', '02'], authority, 60_000, 3_600_000))
  writeFileSync(file, await listOf(t, ['01'], authority, 60_000, 3_600_000))
  look()
  t.strictSame(log.messages('warn'), [], 'of the same time')
  writeFileSync(file, old)
  look()
  t.match(log.messages('warn'), [/^a revocation list is older than the one before/])
  t.equal(files.current('agent')?.count, 1)
})

t.test('what is broken, forged or too big is not used, and an alarm is up until it is mended', async (t) => {
  const good = await listOf(t, ['01'])
  const { file, files, log, look } = await setup(t, good)
  const forged = await listOf(t, [], other)
  const reasons = [
    /holds no revocation list/,
    /whose signature it does not have/,
    /is over the limit of 16777216 bytes/,
  ]
  for (const [index, spoil] of [
    () => writeFileSync(file, 'nothing'),
    () => writeFileSync(file, forged),
    () => truncateSync(file, MAX_CRL_FILE_BYTES + 1),
  ].entries()) {
    spoil()
    look()
    t.ok(files.all[0]?.isBroken())
    t.match(log.lines.at(-1), { level: 'error', fields: { reason: reasons[index] } })
    t.equal(files.current('agent')?.count, 1, 'the ones before are in use')
    writeFileSync(file, good)
    look()
    t.notOk(files.all[0]?.isBroken())
  }
})

t.test('a list that expires is used on and warned of once; one of no known CA is counted', async (t) => {
  const { file, files, log, look, clock } = await setup(t, await listOf(t, ['01'], authority, 10_000))
  t.equal(files.all[0]?.endSeconds(), 10)
  for (let seconds = 1; seconds <= 13; seconds++) clock.advance(LOOK_MS)
  t.ok((files.all[0]?.endSeconds() ?? 0) < 0)
  const expired = (): number =>
    log.lines.filter(({ message }) => message === 'a revocation list has expired and is used on').length
  t.equal(expired(), 1)
  t.equal(files.current('agent')?.count, 1)
  writeFileSync(file, openSslCa(t, 'stranger').list()) // of another name
  look()
  t.equal(files.current('agent')?.strangers, 1)
  t.match(log.messages('warn').at(-1), 'revocation lists are of CAs that are not in the bundle')
})

t.test('a server does not start with files that cannot be used, and says all of them', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'none')
  const ports = { material: () => ({ ca: authority!.certificatePem }) }
  const options = { clusterCrlFile: file, serverCrlFile: folder }
  const watch = () => watchCrlFiles(options, ports, { clock: manualClock(), log: recordedLog(), changed() {} })
  t.throws(watch, {
    code: 'bad-option',
    message:
      /^--server-crl-file: .* is no regular file\n--cluster-crl-file: .*there is no such file; "culvert pki crl --refresh"/,
  })
})
