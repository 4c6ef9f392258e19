/**
 * A client of frontends that runs in the hub: one CONNECT for each question, and one HTTP request through it. It reads its
 * files anew each time.
 *
 *   node hub-client.ts    reads questions and prints answers, a line of JSON each
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { connect as connectTls } from 'node:tls'

const DEADLINE_MS = 20_000
const ANSWER_LIMIT_CHARACTERS = 64 * 1024
const END_OF_HEAD = '\r\n\r\n'

export type Question = {
  /** Where the frontend is, and the name that is asked for there. */
  readonly host: string
  readonly port: number
  readonly serverName: string
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** What is to be reached through it, by HTTP. */
  readonly target: string
  readonly path: string
}
export type Answer = {
  /** Of the CONNECT; 0: there was none. */
  readonly status: number
  /** What the target answered; or what the server said that refused, or what broke. */
  readonly text: string
}
export type HubClient = (question: Question) => Promise<Answer>

/** @param hub the network namespace, with which it ends */
export function startHubClient(hub: string): HubClient {
  const child = spawn('ip', ['netns', 'exec', hub, process.execPath, import.meta.filename], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const waiting = new Map<number, (answer: Answer) => void>()
  let asked = 0
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { number, ...answer } = JSON.parse(line)
    waiting.get(number)?.(answer)
    waiting.delete(number)
  })
  child.on('exit', () => {
    for (const resolve of waiting.values()) resolve({ status: 0, text: 'the client has ended' })
  })
  child.stdin.on('error', () => undefined) // its end is told by `exit`
  return (question) => {
    const { promise, resolve } = Promise.withResolvers<Answer>()
    waiting.set(asked, resolve)
    child.stdin.write(`${JSON.stringify({ number: asked++, ...question })}\n`)
    return promise
  }
}

async function answerTo({ host, port, serverName, ca, cert, key, target, path }: Question): Promise<Answer> {
  const files = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) }
  const socket = connectTls({ host, port, servername: serverName, ...files })
  const late = setTimeout(() => socket.destroy(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS)
  try {
    await once(socket, 'secureConnect')
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}${END_OF_HEAD}`)
    const head = await readUntil(socket, (text) => text.includes(END_OF_HEAD))
    const status = Number(head.split(' ')[1])
    if (status !== 200) return { status, text: head + (await readUntil(socket, () => false)) }
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${target}\r\nConnection: close${END_OF_HEAD}`)
    const answer = await readUntil(socket, () => false)
    return { status, text: answer.slice(answer.indexOf(END_OF_HEAD) + END_OF_HEAD.length) }
  } catch (error) {
    return { status: 0, text: (error as Error).message }
  } finally {
    clearTimeout(late)
    socket.destroy()
  }
}

/** To the end of what comes, or until there is enough. */
async function readUntil(socket: Socket, enough: (text: string) => boolean): Promise<string> {
  let text = ''
  while (!enough(text)) {
    if (socket.readableEnded) return text
    const chunk = socket.read() as Buffer | null
    if (chunk === null) await Promise.race([once(socket, 'readable'), once(socket, 'end')])
    else text += chunk.toString('latin1')
    if (text.length > ANSWER_LIMIT_CHARACTERS) throw new Error(`more than ${ANSWER_LIMIT_CHARACTERS} characters came`)
  }
  return text
}

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { number, ...question } = JSON.parse(line)
    answerTo(question).then((answer) => process.stdout.write(`${JSON.stringify({ number, ...answer })}\n`))
  }
}
