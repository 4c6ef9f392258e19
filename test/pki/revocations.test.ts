import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Authority, createAuthority } from '../../src/pki/authority.ts'
import { readCrls } from '../../src/pki/crl.ts'
import { familyOf } from '../../src/pki/family.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { createRevocations } from '../../src/pki/revocations.ts'

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
