import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Authority, createAuthority } from '../../src/pki/authority.ts'
import { LIST_NAME, plainSerial, type RevocationList, readList, updateList } from '../../src/pki/revocation-list.ts'
import { writePair } from '../../src/pki/store.ts'

const NOW = Date.UTC(2030, 0, 1)
const HOUR = 3_600_000
const [authority, twin] = await Promise.all(
  [1, 2].map(() => createAuthority({ trustDomain: 'hub.example', nowUnixMs: NOW })),
)
const update = (folder: string, by: Authority, serials: readonly string[] = []): Promise<RevocationList> =>
  updateList(folder, by, { serials, lifetimeMs: HOUR, nowUnixMs: NOW })

t.test('the list of a folder grows, each time with the next number, and keeps when each was revoked', async (t) => {
  const folder = t.testdir()
  t.equal(readList(folder, authority!), undefined)
  t.match(await update(folder, authority!), { number: 1, revoked: [] })
  await update(
    folder,
    authority!,
    ['00ff', '01', '01'].map((serial) => plainSerial(serial) ?? ''),
  )
  const later = { serials: ['01', '8001'], lifetimeMs: HOUR, nowUnixMs: NOW + HOUR }
  await updateList(folder, authority!, later)
  t.match(readList(folder, authority!), {
    number: 3,
    nextUpdate: new Date(NOW + 2 * HOUR),
    revoked: [
      { serialNumber: 'ff', revokedAt: new Date(NOW) },
      { serialNumber: '01', revokedAt: new Date(NOW) },
      { serialNumber: '8001', revokedAt: new Date(NOW + HOUR) },
    ],
  })
  for (let number = 4; number <= 130; number++) await update(folder, authority!) // over the sign of a byte
  t.equal(readList(folder, authority!)?.number, 130)
})

t.test('two changes at once do not lose one another', async (t) => {
  const folder = t.testdir()
  const outcomes = await Promise.allSettled(['01', '02', '03'].map((serial) => update(folder, authority!, [serial])))
  const done = outcomes.filter(({ status }) => status === 'fulfilled').length
  t.ok(done > 0)
  t.equal(readList(folder, authority!)?.revoked.length, done)
  t.match(
    outcomes.find(({ status }) => status === 'rejected'),
    { reason: { code: 'bad-option', message: /\.lock: somebody else changes the list/ } },
  )
})

t.test('never builds on a list that is not of its CA', async (t) => {
  const folder = t.testdir()
  writePair(folder, 'ca', authority!, 'keep')
  await update(folder, twin!)
  await t.rejects(update(folder, authority!, ['01']), { code: 'bad-option', message: /is not the one list of this CA/ })
  t.equal(readList(folder, twin!)?.revoked.length, 0)
  const [ours, theirs] = [t.testdir({ ours: {}, theirs: {} })].flatMap((base) => [
    join(base, 'ours'),
    join(base, 'theirs'),
  ])
  await update(ours!, authority!)
  await update(theirs!, twin!)
  const file = join(ours!, 'crl.pem')
  appendFileSync(file, readFileSync(join(theirs!, 'crl.pem'))) // which would be lost
  await t.rejects(update(ours!, authority!, ['01']), { code: 'bad-option', message: /is not the one list of this CA/ })
})

t.test('serial numbers as people write them', async (t) => {
  for (const [text, plain] of [
    ['01', '01'],
    ['1', '01'],
    ['3F:9a', '3f9a'],
    ['0x00ff', 'ff'],
    ['00', '00'],
    ['', undefined],
    ['agent.crt', undefined],
    ['0x', undefined],
    ['f'.repeat(42), undefined],
  ] as const) {
    t.equal(plainSerial(text), plain, text)
  }
})

t.test('is what OpenSSL reads as the list of that CA, with its number and its end', async (t) => {
  const folder = t.testdir()
  await update(folder, authority!, ['01'])
  await update(folder, authority!, ['ff'])
  const { certificateFile } = writePair(folder, 'ca', authority!, 'keep')
  const args = ['crl', '-in', join(folder, LIST_NAME), '-CAfile', certificateFile, '-noout', '-text']
  const text = execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  t.match(text, /X509v3 CRL Number: \s*2\n/)
  t.match(text, /Next Update: Jan +1 01:00:00 2030 GMT/)
  t.match(text, /X509v3 Authority Key Identifier/)
  t.strictSame(
    [...text.matchAll(/Serial Number: (\w+)/g)].map(([, serial]) => serial),
    ['01', 'FF'],
  )
})

t.test('waits for nobody who holds the lock, says which file that is, and leaves none itself', async (t) => {
  const folder = t.testdir()
  const lock = join(folder, `${LIST_NAME}.lock`)
  writeFileSync(lock, '')
  const held = { code: 'bad-option', message: `${lock}: somebody else changes the list right now; if not, remove` }
  await t.rejects(update(folder, authority!), held)
  t.ok(existsSync(lock), 'it is not ours')
  t.notOk(existsSync(join(folder, LIST_NAME)))
  writeFileSync(join(folder, LIST_NAME), 'broken')
  const other = t.testdir({ a: { [LIST_NAME]: 'broken' } })
  await t.rejects(update(join(other, 'a'), authority!), {
    code: 'bad-option',
    message: /crl\.pem: holds no revocation/,
  })
  t.notOk(existsSync(join(other, 'a', `${LIST_NAME}.lock`)), 'a failure lets go of it')
  await t.rejects(update(join(other, 'none'), authority!), { code: 'bad-option', message: /no such file/ })
})
