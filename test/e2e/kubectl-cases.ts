/**
 * What kubectl does inside the cell: each case by itself, so that they can run at once. They share a pod, whose files they
 * keep apart.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, createReadStream, createWriteStream } from 'node:fs'
import { appendFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Test } from 'tap'
import { within } from '../integration/deadline.ts'
import { criLine } from './cell.ts'
import type { Cluster } from './cluster.ts'
import { echoAtOnce } from './echo-client.ts'
import { linesOf } from './lines.ts'
import { NODE, POD } from './objects.ts'
import { patternOf } from './target.ts'

const EXEC_BYTES = 30 * 1024 * 1024
const EXEC_DEADLINE_MS = 60_000
const COPY_BYTES = 100 * 1024 * 1024
const PROXY_BYTES = 8 * 1024 * 1024
const FORWARDED_CONNECTIONS = 20
const FORWARDED_BYTES = 1024 * 1024
const FOLLOWED_LINES = 50
const PRINT_EVERY_MS = 20

const PODS = '/api/v1/namespaces/default/pods'
const SERVICES = '/api/v1/namespaces/default/services'

export function proveKubectl(t: Test, { network, kubectl, folder, podFiles }: Cluster): void {
  const client = join(folder, 'client')
  const pod = join(folder, 'pod')

  t.test('kubectl get lists the node and the pod', async (t) => {
    const names = await kubectl.text('get', 'nodes,pods', '-o', 'name')
    t.strictSame(names.trim().split('\n'), [`node/${NODE}`, `pod/${POD}`])
  })

  t.test('the proxy subresource reaches a pod, a service and a node', async (t) => {
    const hello = /^hello from 10\.88\.1\.\d+\n$/
    t.match(await kubectl.text('get', '--raw', `${PODS}/${POD}:9100/proxy/hello`), hello, 'pod')
    t.match(await kubectl.text('get', '--raw', `${SERVICES}/web:80/proxy/hello`), hello, 'service')
    t.equal(await kubectl.text('get', '--raw', `/api/v1/nodes/${NODE}/proxy/healthz`), 'ok', 'node')
  })

  t.test('the proxy subresource hands a large answer over unchanged', async (t) => {
    const { stdout } = await kubectl(['get', '--raw', `${PODS}/${POD}:9100/proxy/bytes/${PROXY_BYTES}`])
    t.equal(hashOf(stdout), await hashOfAll(patternOf(PROXY_BYTES)))
  })

  t.test('kubectl exec hands over output, errors and failure', async (t) => {
    const outcome = await kubectl(['exec', POD, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])
    t.equal(outcome.stdout.toString(), 'out\n')
    t.match(outcome.stderr, /^err$/m)
    t.match(outcome.stderr, /exit status 7/)
    t.not(outcome.code, 0)
  })

  t.test('kubectl exec carries 30 MB out, in, and both ways at once', async (t) => {
    const file = join(client, '30MB')
    await writePattern(file, EXEC_BYTES)
    const hash = await hashOfFile(file)
    const out = await kubectl(['exec', POD, '--', 'cat', file])
    t.equal(hashOf(out.stdout), hash, 'out')
    const sum = await kubectl(['exec', '-i', POD, '--', 'sh', '-c', `head -c ${EXEC_BYTES} | sha256sum`], {
      stdin: file,
    })
    t.equal(sum.stdout.toString().split(' ')[0], hash, 'in')
    t.equal(hashOf(await execBothWays(t, kubectl, file)), hash, 'both ways')
  })

  t.test('kubectl cp carries a 100 MB file in and out', async (t) => {
    const file = join(client, '100MB')
    await writePattern(file, COPY_BYTES)
    const hash = await hashOfFile(file)
    await kubectl.text('cp', file, `default/${POD}:${join(pod, '100MB')}`)
    t.equal(await hashOfFile(join(pod, '100MB')), hash, 'in')
    await kubectl.text('cp', `default/${POD}:${join(pod, '100MB')}`, join(client, 'back'))
    t.equal(await hashOfFile(join(client, 'back')), hash, 'out')
  })

  t.test('kubectl logs gives the whole log and its tail, and with -f each line when it is written', async (t) => {
    const lines = Array.from({ length: 1_000 }, (_, index) => `line ${index}`)
    await writeFile(podFiles.log, lines.map(criLine).join(''))
    t.equal(await kubectl.text('logs', POD), `${lines.join('\n')}\n`)
    t.equal(await kubectl.text('logs', POD, '--tail=2'), 'line 998\nline 999\n')

    await writeFile(podFiles.log, criLine('first'))
    const follower = kubectl.follow('logs', '-f', POD)
    const next = linesOf(follower)
    t.equal(await next(), 'first')
    for (let index = 0; index < FOLLOWED_LINES; index++) {
      await appendFile(podFiles.log, criLine(`followed ${index}`))
      t.equal(await next(), `followed ${index}`)
    }
    follower.kill('SIGKILL')
  })

  t.test('kubectl attach shows what the container prints from then on, without a gap', async (t) => {
    const follower = kubectl.follow('attach', POD)
    const next = linesOf(follower)
    let printed = 0
    const printer = setInterval(() => appendFileSync(podFiles.console, criLine(`${printed++}`)), PRINT_EVERY_MS)
    t.teardown(() => clearInterval(printer))
    const first = Number(await next())
    for (let index = 1; index < FOLLOWED_LINES; index++) t.equal(Number(await next()), first + index)
    follower.kill('SIGKILL')
  })

  t.test('kubectl port-forward carries 20 connections at once', async (t) => {
    const follower = kubectl.follow('port-forward', `pod/${POD}`, ':9200')
    const [, port] = /^Forwarding from 127\.0\.0\.1:(\d+) -> 9200$/.exec(await linesOf(follower)()) ?? []
    const whole = await echoAtOnce(network.hub, Number(port), FORWARDED_CONNECTIONS, FORWARDED_BYTES)
    t.equal(whole, FORWARDED_CONNECTIONS)
    follower.kill('SIGKILL')
  })
}

function writePattern(file: string, bytes: number): Promise<void> {
  return pipeline(Readable.from(patternOf(bytes)), createWriteStream(file))
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function hashOfFile(file: string): Promise<string> {
  return hashOfAll(createReadStream(file))
}

async function hashOfAll(chunks: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) hash.update(chunk)
  return hash.digest('hex')
}

/**
 * Sends the file to a command in the pod that says it again. The command stays until all of it is back: kwok hands no end of standard
 * input on, and resets the connection of who has ended with input unread, which takes with it what is still on its way.
 */
async function execBothWays(t: Test, kubectl: Cluster['kubectl'], file: string): Promise<Buffer> {
  const child = kubectl.follow('exec', '-i', POD, '--', 'sh', '-c', `head -c ${EXEC_BYTES}; head -c 1 >/dev/null`)
  t.teardown(() => child.kill())
  const { stdin, stdout } = child
  if (!stdin || !stdout) throw new Error('kubectl has no pipes')
  stdin.on('error', () => undefined) // the end of the command says more
  createReadStream(file).pipe(stdin, { end: false })
  const pieces: Buffer[] = []
  let bytes = 0
  stdout.on('data', (piece: Buffer) => {
    pieces.push(piece)
    bytes += piece.length
    if (bytes === EXEC_BYTES) stdin.end('.')
  })
  await within(once(child, 'close'), 'the end of kubectl exec', EXEC_DEADLINE_MS)
  return Buffer.concat(pieces)
}
