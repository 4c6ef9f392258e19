/** Files of a certificate and its key, interrupted at every step, and in the hands of several. */
import { fork } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf, issueLeafFor } from '../../src/pki/leaf.ts'
import { createSigningRequest, readSigningRequest } from '../../src/pki/signing-request.ts'
import { mendCredentials, prepareKey, storeCertificate, usableCertificate } from '../../src/proxy-agent/credentials.ts'
import { event } from '../integration/deadline.ts'

const DAY = 86_400_000
const authority = await createAuthority({ trustDomain: 'hub.example' })
const request = { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } as const }
const folderFiles = (t: Test) => {
  const folder = t.testdir()
  return { folder, files: { cert: join(folder, 'agent.crt'), key: join(folder, 'agent.key') } }
}
type Files = ReturnType<typeof folderFiles>['files']
const certify = (files: Files) =>
  issueLeafFor(authority, request, readSigningRequest(createSigningRequest(prepareKey(files))))

t.test('a key waits for its certificate, and both are then in place', async (t) => {
  const { folder, files } = folderFiles(t)
  t.equal(usableCertificate(files, Date.now()), undefined)
  const pem = await certify(files)
  t.strictSame(readdirSync(folder), ['agent.key.next'])
  t.equal(statSync(`${files.key}.next`).mode & 0o777, 0o600)
  storeCertificate(files, pem)
  t.strictSame(readdirSync(folder).toSorted(), ['agent.crt', 'agent.key'])
  t.strictSame(
    [files.cert, files.key].map((file) => statSync(file).mode & 0o777),
    [0o644, 0o600],
  )
  t.ok(usableCertificate(files, Date.now()))
  t.equal(usableCertificate(files, Date.now() + 366 * DAY), undefined, 'when it is over')
  t.notOk(prepareKey(files).equals(createPrivateKey(readFileSync(files.key))), 'the next key is another one')
})

t.test('who is stopped between the certificate and its key finds both again', async (t) => {
  const { folder, files } = folderFiles(t)
  storeCertificate(files, await certify(files))
  const pem = await certify(files)
  const waiting = prepareKey(files)
  writeFileSync(files.cert, pem) // and then the power failed
  t.equal(usableCertificate(files, Date.now()), undefined)
  mendCredentials(files)
  t.equal(usableCertificate(files, Date.now())?.fingerprint256, new X509Certificate(pem).fingerprint256)
  t.ok(createPrivateKey(readFileSync(files.key)).equals(waiting))
  t.strictSame(readdirSync(folder).toSorted(), ['agent.crt', 'agent.key'])
})

t.test('a key that waits for a certificate which never came changes nothing, and is used again', async (t) => {
  const { files } = folderFiles(t)
  storeCertificate(files, await certify(files))
  const before = readFileSync(files.key, 'utf8')
  const waiting = prepareKey(files)
  mendCredentials(files)
  t.equal(readFileSync(files.key, 'utf8'), before)
  t.ok(prepareKey(files).equals(waiting))
  writeFileSync(`${files.key}.next`, 'broken')
  t.notOk(prepareKey(files).equals(waiting))
})

t.test('a certificate of another key is not usable, and a folder that cannot be written is an error', async (t) => {
  const { folder, files } = folderFiles(t)
  storeCertificate(files, await certify(files))
  const other = await issueLeaf(authority, request)
  writeFileSync(files.cert, other.certificatePem)
  t.equal(usableCertificate(files, Date.now()), undefined)
  renameSync(files.key, join(folder, 'elsewhere'))
  t.equal(usableCertificate(files, Date.now()), undefined)
  const missing = { cert: join(folder, 'no', 'agent.crt'), key: join(folder, 'no', 'agent.key') }
  t.throws(() => prepareKey(missing), {
    code: 'bad-option',
    message: /cannot be written to: no such file or directory/,
  })
  t.notOk(existsSync(missing.key))
})

t.test('agents that were given the same files take one key, and end with what belongs together', async (t) => {
  const { folder, files } = folderFiles(t)
  const [first, second] = [prepareKey(files), prepareKey(files)]
  t.ok(first.equals(second))
  const certificates = [await certify(files), await certify(files)]
  for (const pem of certificates) storeCertificate(files, pem)
  t.equal(usableCertificate(files, Date.now())?.fingerprint256, new X509Certificate(certificates[1]!).fingerprint256)
  t.strictSame(readdirSync(folder).toSorted(), ['agent.crt', 'agent.key'])

  // One is so slow that the other has renewed twice meanwhile: its key is gone, and it spoils nothing.
  const late = await certify(files)
  storeCertificate(files, late)
  const pem = await certify(files)
  storeCertificate(files, pem)
  prepareKey(files)
  t.throws(() => storeCertificate(files, late), {
    code: 'bad-option',
    message: /is it the file of another agent too\?$/,
  })
  t.equal(usableCertificate(files, Date.now())?.fingerprint256, new X509Certificate(pem).fingerprint256)
})

t.test('of several processes that come at once each takes the same key', async (t) => {
  const { folder, files } = folderFiles(t)
  const program = `
    import { prepareKey } from ${JSON.stringify(join(import.meta.dirname, '../../src/proxy-agent/credentials.ts'))}
    process.once('message', () => process.send(prepareKey(${JSON.stringify(files)}).export({ type: 'pkcs8', format: 'pem' })))
    process.send('ready')`
  const file = join(folder, 'take.mjs')
  writeFileSync(file, program)
  const children = Array.from({ length: 4 }, () => fork(file))
  t.teardown(() => children.map((child) => child.kill('SIGKILL')))
  await Promise.all(children.map((child) => event(child, 'message')))
  const keys = children.map((child) => event<string>(child, 'message'))
  for (const child of children) child.send('go')
  const [waiting] = await Promise.all([...keys])
  for (const key of await Promise.all(keys)) t.equal(key, waiting)
  t.equal(readFileSync(`${files.key}.next`, 'utf8'), waiting)
})
