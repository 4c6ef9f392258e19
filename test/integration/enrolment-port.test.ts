/** What a hub answers to whoever comes for a certificate, with what nobody honest would say, and how many at once. */
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { revoke } from '../../src/pki/commands/revoke.ts'
import { readAnswer, readAuthorities, writeRequest } from '../../src/pki/enrolment-wire.ts'
import { familyOf } from '../../src/pki/family.ts'
import { createJoinToken, readJoinToken } from '../../src/pki/join-token.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { createSigningRequest } from '../../src/pki/signing-request.ts'
import { run } from '../platform/run-command.ts'
import { auditLines } from './audit-log.ts'
import { makePki, saveLeaf, temporaryFolder } from './certificates.ts'
import { event, within } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { connectRaw, converse, converseOver, enrolments, newRequest, startHub, tokenOf } from './joining.ts'
import { openWireAgent } from './wire-agent.ts'

/** Nearly all of it is waiting. */
t.jobs = 3
const together = { buffered: true }

t.test('of many who come with one token at once, to several processes, one gets in', together, async (t) => {
  const hub = await startHub(t, ['--workers=2', '--enrolments-per-second=1000'])
  const { id, secret } = readJoinToken(await tokenOf(hub))
  const asked = Array.from({ length: 20 }, () =>
    converse(hub, writeRequest({ kind: 'join', id, secret, request: newRequest() })),
  )
  const answers = await Promise.all(asked)
  t.equal(answers.filter((answer) => answer?.kind === 'issued').length, 1)
  t.equal(answers.filter((answer) => answer?.kind === 'refused' && answer.why === 'used-token').length, 19)
})

t.test('of one who comes several times at once each gets in, as of one family', together, async (t) => {
  const hub = await startHub(t)
  const { id, secret } = readJoinToken(await tokenOf(hub))
  const asked = writeRequest({ kind: 'join', id, secret, request: newRequest() })
  const answers = await Promise.all(Array.from({ length: 10 }, () => converse(hub, asked)))
  const families = answers.map((answer) =>
    answer?.kind === 'issued' ? familyOf(new X509Certificate(answer.certificate)) : answer?.why,
  )
  t.strictSame([...new Set(families)], families.slice(0, 1), families.join())
  t.match(families[0], /^[0-9a-f]{16,}$/i)
  await hub.logged('certificate issued', 10)
  t.match(await converse(hub, writeRequest({ kind: 'join', id, secret, request: newRequest() })), { why: 'used-token' })
})

t.test('whoever is refused again and again costs the audit log a line for each reason', together, async (t) => {
  const log = join(temporaryFolder(t), 'audit.log')
  const hub = await startHub(t, [`--audit-log-file=${log}`])
  for (let count = 0; count < 5; count++) {
    const { id, secret } = createJoinToken('') // made up
    t.match(await converse(hub, 'x\n'), { kind: 'refused' })
    t.match(await converse(hub, writeRequest({ kind: 'join', id, secret, request: newRequest() })), { kind: 'refused' })
  }
  hub.signal('SIGTERM')
  await within(hub.ended, 'its end')
  const lines = auditLines(log).filter(({ event }) => event === 'certificate')
  t.strictSame(
    lines.map(({ source }) => source),
    ['127.0.0.1', '127.0.0.1'],
    JSON.stringify(lines),
  )
})

t.test(
  'whoever asks for what it may not have, or makes no sense, is refused and costs no token',
  together,
  async (t) => {
    const pki = await makePki(t)
    await updateList(pki.folder, pki.authority, { serials: [], lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
    const list = join(pki.folder, 'crl.pem')
    const hub = await startHub(t, [`--cluster-crl-file=${list}`], pki)
    const { id, secret } = readJoinToken(await tokenOf(hub))
    const request = newRequest()
    const joinWith = (text: string): string => writeRequest({ kind: 'join', id, secret, request: text })
    const broken = request.replace(/[A-Z](?=[a-z])/, 'Z')
    t.match(await converse(hub, joinWith('no request')), { kind: 'refused', why: 'malformed' })
    t.match(await converse(hub, joinWith(broken)), { kind: 'refused', why: 'malformed' })
    for (const text of [
      'hello\n',
      '{}\n',
      'null\n',
      '{"join":{"id":"../../../etc","secret":"x"},"request":""}\n',
      '{"renew":true,"join":{},"request":""}\n',
    ]) {
      t.match(await converse(hub, text), { kind: 'refused', why: 'malformed' }, text)
    }
    t.match(await converse(hub, 'x'.repeat(20_000)), { kind: 'refused', reason: /over the limit of 16384 bytes/ })
    const renew = writeRequest({ kind: 'renew', request })
    t.match(await converse(hub, renew), { why: 'not-accepted', reason: /none was sent/ })
    const user = await pki.issue('alice', { identity: { role: 'user', name: 'alice' } })
    t.match(await converse(hub, renew, user), { why: 'not-accepted', reason: /it is a user certificate/ })
    t.match(await converse(hub, renew, await pki.issue('plain', {})), { why: 'not-accepted', reason: /names no agent/ })
    const old = {
      identity: { role: 'agent', cluster: 'eu-1', name: 'old' } as const,
      nowUnixMs: Date.now() - 172_800_000,
      lifetimeMs: 86_400_000,
    }
    t.match(await converse(hub, renew, await pki.issue('old', old)), { why: 'not-accepted', reason: /it has expired/ })
    t.match(await converse(hub, renew, pki.agent), { kind: 'issued' })
    const serials = [new X509Certificate(pki.agent.cert).serialNumber.toLowerCase()]
    await updateList(pki.folder, pki.authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
    await hub.logged('revocation lists changed')
    t.match(await converse(hub, renew, pki.agent), { why: 'not-accepted', reason: /it was revoked/ })

    const silent = await connectRaw(hub)
    silent.resume()
    await event(silent, 'close')
    await figureBecomes(hub, enrolments('none', 'slow'), 1)
    t.match(await converse(hub, joinWith(request)), { kind: 'issued' }, 'the token is still good')
    t.equal(await figure(hub, enrolments('join', 'malformed')), 2)
  },
)

t.test(
  'nobody is told of the CAs of others, and a CA that is no longer trusted issues nothing',
  together,
  async (t) => {
    const pki = await makePki(t)
    const other = await createAuthority({ trustDomain: 'hub.example' })
    const bundle = join(pki.folder, 'bundle.crt')
    writeFileSync(bundle, pki.authority.certificatePem + other.certificatePem)
    const hub = await startHub(t, [`--cluster-ca-cert=${bundle}`], pki)
    const socket = await connectRaw(hub)
    const [chunk] = (await within(once(socket, 'data'), 'the hub says by what it may be known')) as [Buffer]
    socket.destroy()
    t.equal(readAuthorities(String(chunk))?.trim(), pki.authority.certificatePem.trim())

    const { id, secret } = readJoinToken(await tokenOf(hub))
    writeFileSync(bundle, other.certificatePem)
    await hub.logged('TLS files changed, new handshakes use them')
    const ask = writeRequest({ kind: 'join', id, secret, request: newRequest() })
    t.match(await converse(hub, ask), { why: 'failed' })
    t.match(await hub.logged('a certificate could not be issued'), { reason: /is not in --cluster-ca-cert/ })
    writeFileSync(bundle, pki.authority.certificatePem)
    await hub.logged('TLS files changed, new handshakes use them', 2)
    t.match(await converse(hub, ask), { kind: 'issued' }, 'the token is still good')
  },
)

t.test('a thief who has renewed what he stole is out when that is revoked', together, async (t) => {
  const pki = await makePki(t)
  await updateList(pki.folder, pki.authority, { serials: [], lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  const hub = await startHub(t, [`--cluster-crl-file=${join(pki.folder, 'crl.pem')}`], pki)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const renew = writeRequest({ kind: 'renew', request: createSigningRequest(privateKey) })
  const given = await converse(hub, renew, pki.agent)
  if (given?.kind !== 'issued') throw new Error('expected a certificate')
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const stolen = saveLeaf(pki.folder, 'stolen', { certificatePem: given.certificate, keyPem })
  const thief = await openWireAgent(t, hub, { leaf: stolen })
  await thief.answer()
  const ended = new Promise((resolve) => thief.http.once('close', resolve)) // in whatever way
  t.match(await run(revoke, [pki.agent.certFile, '--dir', pki.folder]), { kind: 'done' })
  await within(ended, 'the thief is out', 5_000)
  t.match(await converse(hub, renew, stolen), { why: 'not-accepted', reason: /it was revoked/ })
})

t.test('who says nothing takes no place of those who renew', together, async (t) => {
  const hub = await startHub(t, ['--handshakes-per-second=1000'])
  const silent = await Promise.all(Array.from({ length: 201 }, () => connectRaw(hub)))
  t.teardown(() => {
    for (const socket of silent) socket.destroy()
  })
  await figureBecomes(hub, enrolments('none', 'too_many'), 1)
  t.match(await converse(hub, '{}\n'), { why: 'malformed' }, 'nor of who comes as one more and speaks')
  const renew = writeRequest({ kind: 'renew', request: newRequest() })
  t.match(await converse(hub, renew, hub.pki.agent), { kind: 'issued' })
})

t.test('many of one address take no place of somebody from elsewhere', together, async (t) => {
  const hub = await startHub(t, ['--handshakes-per-second=1000'])
  const first = await connectRaw(hub, undefined, '127.0.0.2')
  const silent = await Promise.all(Array.from({ length: 220 }, () => connectRaw(hub)))
  t.teardown(() => {
    for (const socket of [first, ...silent]) socket.destroy()
  })
  await figureBecomes(hub, enrolments('none', 'too_many'), 21)
  first.write('{}\n')
  let heard = ''
  first.on('data', (chunk) => {
    heard += String(chunk)
  })
  await event(first, 'close')
  t.match(readAnswer(heard.split('\n')[1] ?? ''), { why: 'malformed' }, 'the first of all is still there')
})

t.test('what comes faster than it may is told to come again', together, async (t) => {
  const hub = await startHub(t, ['--enrolments-per-second=1'])
  const tokens = await Promise.all([1, 2, 3].map(() => tokenOf(hub)))
  const made = { kind: 'join', id: readJoinToken(tokens[0] ?? '').id, secret: createJoinToken('').secret } as const
  const wrong = await Promise.all([1, 2, 3].map(() => converse(hub, writeRequest({ ...made, request: newRequest() }))))
  for (const answer of wrong) t.match(answer, { why: 'unknown-token' }, 'whoever makes a secret up takes nobody’s turn')
  const requests = tokens.map((token) => writeRequest({ kind: 'join', ...readJoinToken(token), request: newRequest() }))
  const sockets = await Promise.all(tokens.map(() => connectRaw(hub)))
  const answers = await Promise.all(sockets.map((socket, index) => converseOver(socket, requests[index]!)))
  const came = answers.map((answer) => (answer?.kind === 'refused' ? answer.why : answer?.kind))
  t.ok(came.includes('busy') && came.includes('issued'), came.join())
  t.match(await converse(hub, writeRequest({ kind: 'renew', request: newRequest() }), hub.pki.agent), {
    kind: 'issued',
  })
})
