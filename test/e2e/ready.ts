/**
 * Waits until something in a network namespace answers, from inside it: a process cannot enter a namespace later.
 *
 *   node ready.ts <url> <deadline ms>    prints the body of the first answer with status 200
 */
import { execFile } from 'node:child_process'
import { get as httpGet } from 'node:http'
import { get as httpsGet } from 'node:https'
import { promisify } from 'node:util'

const ASK_EVERY_MS = 20
const ANSWER_DEADLINE_MS = 2_000
const BODY_LIMIT_BYTES = 4 * 1024 * 1024
const run = promisify(execFile)

/** The answer's body. @throws Error when there was no 200 within `deadlineMs`, with what there was last */
export async function ready(namespace: string, url: string, deadlineMs: number): Promise<string> {
  const command = ['netns', 'exec', namespace, process.execPath, import.meta.filename, url, String(deadlineMs)]
  const { stdout } = await run('ip', command, { maxBuffer: BODY_LIMIT_BYTES })
  return stdout
}

type Answer = { readonly status: number; readonly body: string }

/** The certificate is not checked: this asks whether a program is up, and is no test of identity. */
function ask(url: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const get = url.startsWith('https:') ? httpsGet : httpGet
  const request = get(url, { agent: false, rejectUnauthorized: false, timeout: ANSWER_DEADLINE_MS }, (response) => {
    let body = ''
    response.setEncoding('utf8')
    response.on('data', (part) => {
      body += part
    })
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    response.on('error', reject)
  })
  request.on('timeout', () => request.destroy(new Error(`no answer within ${ANSWER_DEADLINE_MS} ms`)))
  request.on('error', reject)
  return promise
}

if (import.meta.main) {
  const [, , url = '', deadlineMs] = process.argv
  const end = performance.now() + Number(deadlineMs)
  let last = 'nothing yet'
  while (performance.now() < end) {
    const answer = await ask(url).catch((error: Error) => error)
    if (!(answer instanceof Error) && answer.status === 200) {
      process.stdout.write(answer.body)
      process.exit(0)
    }
    last = answer instanceof Error ? answer.message : `${answer.status} ${answer.body}`
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS))
  }
  process.stderr.write(`${url} did not answer 200 within ${deadlineMs} ms: ${last}\n`)
  process.exit(1)
}
