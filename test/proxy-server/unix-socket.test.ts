import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { listenOnUnixSocket } from '../../src/proxy-server/unix-socket.ts'

/** A folder with a short path: that of a socket has 107 bytes. */
function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function server(t: Test, greeting = 'hello'): Server {
  const made = createServer((socket) => socket.end(greeting))
  t.teardown(() => made.close())
  return made
}

async function greetingOf(path: string): Promise<string> {
  const socket = connect({ path })
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
  return Buffer.concat(chunks).toString()
}

/** A socket file that its server left behind, as a killed one does. */
async function staleSocket(t: Test, path: string): Promise<void> {
  const made = createServer().listen({ path: `${path}.old` })
  await once(made, 'listening')
  renameSync(`${path}.old`, path)
  made.close()
  await once(made, 'close')
  t.ok(lstatSync(path).isSocket())
}

t.test('listens at a path', async (t) => {
  const path = join(folder(t), 'a.sock')
  await listenOnUnixSocket(server(t), path, true)
  t.equal(await greetingOf(path), 'hello')
})

t.test('lets the owner and the group in, and nobody else', async (t) => {
  const path = join(folder(t), 'a.sock')
  const before = process.umask(0o000)
  t.teardown(() => process.umask(before))
  await listenOnUnixSocket(server(t), path, true)
  t.equal((statSync(path).mode & 0o777).toString(8), '770')
})

t.test('leaves the umask of the program as it was, also while it waits and when it fails', async (t) => {
  const path = join(folder(t), 'a.sock')
  const before = process.umask(0o027)
  t.teardown(() => process.umask(before))
  const listening = listenOnUnixSocket(server(t), path, true)
  t.equal(process.umask(), 0o027, 'others may make files before it listens')
  await listening
  t.equal(process.umask(), 0o027)
  await t.rejects(listenOnUnixSocket(server(t), join(path, 'x'), true))
  t.equal(process.umask(), 0o027)
})

t.test('takes the place of a socket that was left behind', async (t) => {
  const path = join(folder(t), 'a.sock')
  await staleSocket(t, path)
  await listenOnUnixSocket(server(t), path, true)
  t.equal(await greetingOf(path), 'hello')
})

t.test('takes the place of a server that still runs, whose end leaves the new socket alone', async (t) => {
  const path = join(folder(t), 'a.sock')
  const [old, anew] = [server(t, 'old'), server(t, 'new')]
  const socket = await listenOnUnixSocket(old, path, true)
  await listenOnUnixSocket(anew, path, true)
  t.equal(await greetingOf(path), 'new')
  socket[Symbol.dispose]()
  old.close()
  await once(old, 'close')
  t.equal(await greetingOf(path), 'new')
})

t.test('there is a socket at every moment while another server takes the place', async (t) => {
  const path = join(folder(t), 'a.sock')
  await listenOnUnixSocket(server(t), path, true)
  const missing: string[] = []
  const watch = setInterval(() => existsSync(path) || missing.push('none'), 0)
  for (let count = 0; count < 20; count++) {
    const taking = listenOnUnixSocket(server(t), path, true)
    if (!existsSync(path)) missing.push('none')
    await taking
    t.equal(await greetingOf(path), 'hello')
  }
  clearInterval(watch)
  t.strictSame(missing, [])
})

t.test('leaves nothing behind in its folder when it ends', async (t) => {
  const base = folder(t)
  const path = join(base, 'a.sock')
  const made = server(t)
  const socket = await listenOnUnixSocket(made, path, true)
  t.strictSame(readdirSync(base), ['a.sock'])
  socket[Symbol.dispose]()
  made.close()
  await once(made, 'close')
  t.strictSame(readdirSync(base), [])
})

t.test('leaves nothing behind when it cannot take the place', async (t) => {
  const base = folder(t)
  writeFileSync(join(base, 'file'), 'keep me')
  await t.rejects(listenOnUnixSocket(server(t), join(base, 'file'), true))
  t.strictSame(readdirSync(base), ['file'])
})

t.test('leaves that socket alone when it is told to', async (t) => {
  const path = join(folder(t), 'a.sock')
  await staleSocket(t, path)
  await t.rejects(listenOnUnixSocket(server(t), path, false), {
    code: 'bad-option',
    message: `--uds-name: could not listen on ${path}: it is there already`,
    cause: { code: 'EADDRINUSE' },
  })
  t.ok(lstatSync(path).isSocket())
})

t.test('removes no file, folder or link that is not a socket, whatever it is told', async (t) => {
  const base = folder(t)
  const [file, directory, link] = [join(base, 'file'), join(base, 'folder'), join(base, 'link')]
  writeFileSync(file, 'keep me')
  mkdirSync(directory)
  await staleSocket(t, join(base, 'behind'))
  symlinkSync(join(base, 'behind'), link)
  for (const path of [file, directory, link]) {
    await t.rejects(
      listenOnUnixSocket(server(t), path, true),
      { code: 'bad-option', message: /^--uds-name: .*: / },
      path,
    )
  }
  t.equal(readFileSync(file, 'utf8'), 'keep me')
  t.ok(lstatSync(directory).isDirectory())
  t.ok(lstatSync(link).isSymbolicLink())
  t.ok(existsSync(join(base, 'behind')))
})

t.test('listens on an abstract name, which leaves no file', async (t) => {
  const name = `culvert-${randomUUID()}`
  await listenOnUnixSocket(server(t), `@${name}`, true)
  t.equal(await greetingOf(`\0${name}`), 'hello')
  t.notOk(existsSync(`@${name}`))
  await t.rejects(listenOnUnixSocket(server(t), `@${name}`, true), {
    message: `--uds-name: could not listen on @${name}: it is there already`,
  })
})

t.test('says what is wrong with a path', async (t) => {
  const base = folder(t)
  const tooLong = join(base, 'x'.repeat(107 - Buffer.byteLength(base)))
  const wrong = [join(base, 'none', 'a.sock'), tooLong, `@${'x'.repeat(120)}`]
  for (const path of wrong) {
    await t.rejects(
      listenOnUnixSocket(server(t), path, true),
      { code: 'bad-option', message: /^--uds-name: could not/ },
      path,
    )
  }
  t.strictSame(readdirSync(base), [])
})

t.test('says that the folder is what is wrong, and names no name but the one that was given', async (t) => {
  const base = folder(t)
  writeFileSync(join(base, 'file'), '')
  chmodSync(base, 0o555)
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534) // root may write anywhere
  t.teardown(() => isRoot && process.seteuid?.(0))
  const why: readonly (readonly [path: string, why: string])[] = [
    [join(base, 'none', 'a.sock'), `its folder ${join(base, 'none')} does not exist`],
    [join(base, 'file', 'a.sock'), `${join(base, 'file')} is not a folder`],
    [join(base, 'file', 'below', 'a.sock'), `${join(base, 'file', 'below')} is not a folder`],
    [join(base, 'a.sock'), `its folder ${base} is not writable`],
  ]
  for (const [path, reason] of why) {
    const message = `--uds-name: could not listen on ${path}: ${reason}`
    await t.rejects(listenOnUnixSocket(server(t), path, true), { code: 'bad-option', message }, path)
  }
})

t.test('takes the longest path there can be', async (t) => {
  const base = folder(t)
  const path = join(base, 'x'.repeat(107 - Buffer.byteLength(base) - 1))
  t.equal(Buffer.byteLength(path), 107)
  await listenOnUnixSocket(server(t), path, true)
  t.equal(await greetingOf(path), 'hello')
})
