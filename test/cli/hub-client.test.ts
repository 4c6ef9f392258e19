/** What a user is told whom the hub does not answer as it should. */
import { rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTls } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connectHub, type Hub } from '../../src/cli/hub-client.ts'
import { makePki } from '../integration/certificates.ts'
import { closedPort } from '../integration/target.ts'

const pki = await makePki(t)

async function portOf(t: Test, server: Server): Promise<number> {
  t.teardown(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const hubAt = (url: string, more = {}): Hub =>
  connectHub({ url, tokenFile: undefined, caCert: undefined, cert: undefined, key: undefined, ...more })

async function serve(t: Test, answer: RequestListener): Promise<Hub> {
  return hubAt(`http://127.0.0.1:${await portOf(t, createServer(answer))}`)
}

t.test('gives what it is answered, and nothing for what is not there', async (t) => {
  const hub = await serve(t, ({ url }, response) => {
    response.statusCode = url === '/there' ? 200 : 404
    response.end('text')
  })
  t.equal(await hub.ask('/there'), 'text')
  t.equal(await hub.ask('/elsewhere'), undefined)
  await t.rejects(hub.follow('/elsewhere', undefined, t.fail), { code: 'no-answer', message: /answers 404: text$/ })
})

t.test('says what to do about a refusal', async (t) => {
  const hub = await serve(t, ({ url }, response) => {
    response.statusCode = Number(url?.slice(1))
    response.end('this port is for clients with a token\nmore')
  })
  await t.rejects(hub.ask('/401'), {
    code: 'no-answer',
    message: /answers 401: .* with a token: give it by --token-file$/,
  })
  await t.rejects(hub.ask('/403'), { message: /answers 403: .* with a token$/ })
})

t.test('says what is probably wrong when there is no answer', async (t) => {
  await t.rejects(hubAt(`http://${await closedPort()}`).ask('/'), {
    code: 'no-answer',
    message: /ECONNREFUSED.*: is proxy-server there/,
  })

  const tls = await portOf(
    t,
    createTls({ cert: pki.server.cert, key: pki.server.key }, (_, response) => response.end('yes')),
  )
  await t.rejects(hubAt(`http://127.0.0.1:${tls}`).ask('/'), { message: /: try https:\/\/$/ })
  await t.rejects(hubAt(`https://127.0.0.1:${tls}`).ask('/'), { message: /: name the CA .* by --ca-cert$/ })
  t.equal(await hubAt(`https://127.0.0.1:${tls}`, { caCert: pki.caFile }).ask('/'), 'yes')

  const plain = await portOf(
    t,
    createServer((_, response) => response.end()),
  )
  await t.rejects(hubAt(`https://127.0.0.1:${plain}`).ask('/'), { message: /: it does not speak TLS: try http:\/\/$/ })
})

t.test('says that the hub went away in the middle of its answer', async (t) => {
  const hub = await serve(t, (_, response) => {
    response.write('event: snapshot\n', () => response.destroy())
  })
  const broken = { code: 'no-answer', message: /^the connection to http:\/\/127\.0\.0\.1:\d+ broke$/ }
  await t.rejects(hub.follow('/', undefined, t.fail), broken)
  await t.rejects(hub.ask('/'), broken)
})

t.test('shows the token that its file has when it asks, which somebody renews meanwhile', async (t) => {
  const tokenFile = join(t.testdir({ token: 'the-first-token\n' }), 'token')
  const shown: unknown[] = []
  const server = createServer(({ headers }, response) => {
    shown.push(headers.authorization)
    response.end()
  })
  const hub = hubAt(`http://127.0.0.1:${await portOf(t, server)}`, { tokenFile })
  await hub.follow('/', undefined, t.fail)
  writeFileSync(tokenFile, 'the-second-token\n')
  await hub.follow('/', undefined, t.fail)
  await hub.ask('/')
  t.strictSame(shown, ['Bearer the-first-token', 'Bearer the-second-token', 'Bearer the-second-token'])
  rmSync(tokenFile)
  await t.rejects(hub.follow('/', undefined, t.fail), { code: 'bad-option', message: /there is no such file$/ })
  t.throws(() => hubAt('http://127.0.0.1:1', { tokenFile }), { code: 'bad-option' }, 'before anybody is asked')
})
