import { X509Certificate } from 'node:crypto'
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Authority, createAuthority } from '../../src/pki/authority.ts'
import { readCrls } from '../../src/pki/crl.ts'
import { familyOf } from '../../src/pki/family.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { plainSerial, readList, updateList } from '../../src/pki/revocation-list.ts'
import { createRevocations } from '../../src/pki/revocations.ts'
import { writePair } from '../../src/pki/store.ts'

const NOW = Date.UTC(2030, 0, 1)
const HOUR = 3_600_000
const [authority, twin] = await Promise.all(
  [1, 2].map(() => createAuthority({ trustDomain: 'hub.example', nowUnixMs: NOW })),
)
const certificate = ({ certificatePem }: { readonly certificatePem: string }) => new X509Certificate(certificatePem)
const issue = async (by: Authority) => {
  const request = { identity: { role: 'user', name: 'a' } as const, nowUnixMs: NOW }
  return certificate(await issueLeaf(by, request))
}
const serialOf = ({ serialNumber }: X509Certificate) => serialNumber.toLowerCase()
const update = (folder: string, by: Authority, serials: readonly string[] = [], lifetimeMs = HOUR) =>
  updateList(folder, by, { serials, lifetimeMs, nowUnixMs: NOW })
const listOf = async (t: Test, by: Authority, serials: readonly string[], lifetimeMs?: number) => {
  const folder = t.testdir()
  await update(folder, by, serials, lifetimeMs)
  return readCrls(readFileSync(join(folder, 'crl.pem')))
}

t.test('a list counts for the CA that signed it, not for another of its name', async (t) => {
  const [ours, theirs] = [await issue(authority!), await issue(twin!)]
  const both = [certificate(authority!), certificate(twin!)]
  const crls = await listOf(t, authority!, [serialOf(ours), serialOf(theirs)])
  const loaded = createRevocations(crls, both)
  if (!loaded.ok) throw new Error(loaded.problem)
  const { find, count, endUnixMs, strangers } = loaded.revocations
  t.equal(find([ours, both[0]!]), ours)
  t.equal(find([theirs, both[1]!]), undefined)
  t.equal(find([await issue(authority!), both[0]!]), undefined)
  t.strictSame([count, endUnixMs, strangers], [2, NOW + HOUR, 0])
})

t.test("a list counts for the CA that signed it, however it writes that one's name", async (t) => {
  const ours = await issue(authority!)
  const crls = (await listOf(t, authority!, [serialOf(ours)])).map((crl) => ({ ...crl, issuer: '3000' }))
  const loaded = createRevocations(crls, [certificate(twin!), certificate(authority!)])
  if (!loaded.ok) throw new Error(loaded.problem)
  t.equal(loaded.revocations.strangers, 0)
  t.equal(loaded.revocations.find([ours, certificate(authority!)]), ours)
})

t.test('a list that has the number of a family revokes all who came of it', async (t) => {
  const first = await issue(authority!)
  const request = { identity: { role: 'user', name: 'a' } as const, nowUnixMs: NOW, family: familyOf(first) }
  const later = certificate(await issueLeaf(authority!, request))
  const loaded = createRevocations(await listOf(t, authority!, [serialOf(first)]), [certificate(authority!)])
  if (!loaded.ok) throw new Error(loaded.problem)
  t.not(serialOf(later), serialOf(first))
  t.equal(loaded.revocations.find([later, certificate(authority!)]), later)
  const brought = createRevocations(await listOf(t, authority!, [serialOf(first)]), [])
  t.equal(brought.ok && brought.revocations.find([later, certificate(authority!)]), later, 'of a CA that comes along')
})

t.test('a family is revoked by the list of any CA that is trusted, a certificate by that of its own', async (t) => {
  const first = await issue(authority!)
  const request = { identity: { role: 'user', name: 'a' } as const, nowUnixMs: NOW, family: familyOf(first) }
  const later = certificate(await issueLeaf(twin!, request)) // renewed by the CA that takes turns
  const [old, now] = [certificate(authority!), certificate(twin!)]
  const findBy = async (serial: string, ...trusted: X509Certificate[]) => {
    const loaded = createRevocations(await listOf(t, authority!, [serial]), trusted)
    if (!loaded.ok) throw new Error(loaded.problem)
    return loaded.revocations.find([later, now])
  }
  t.equal(await findBy(serialOf(first), old, now), later)
  t.equal(await findBy(serialOf(later), old, now), undefined)
  t.equal(await findBy(serialOf(first)), undefined, 'its CA is trusted no more')
})

t.test('a list in the name of a CA that has not signed it takes the set with it', async (t) => {
  const good = await listOf(t, authority!, [])
  const forged = await listOf(t, twin!, [])
  t.match(createRevocations([...good, ...forged], [certificate(authority!)]), {
    ok: false,
    problem: /^list number 2 is in the name of O=culvert, CN=Culvert hub CA, whose signature it does not have$/,
  })
  t.match(createRevocations(good, []), { ok: true, revocations: { strangers: 1 } })
  t.match(createRevocations([], []), { ok: true, revocations: { endUnixMs: undefined, count: 0 } })
})

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
