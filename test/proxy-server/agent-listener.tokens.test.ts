import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { NEW_TOKEN_PATH } from '../../src/kubernetes/core/new-token.ts'
import type { Shower, ShownToken } from '../../src/kubernetes/token-reviewer.ts'
import type { FollowToken } from '../../src/kubernetes/token-watch.ts'
import { eventually, within } from '../integration/deadline.ts'
import { agentPort, type HandMadeAgent, joinAgent, leaves, ours } from './agent-port.ts'

const USERNAME = 'system:serviceaccount:ns:sa'
const known: ShownToken = { kind: 'known', username: USERNAME }
const headers = { agentid: 'a', agentidentifiers: '', authorization: 'Bearer hunter2' }

type Question = {
  readonly values: readonly string[]
  readonly gone: AbortSignal
  readonly who: Shower
  readonly answer: (judgement: ShownToken) => void
}

/** A port whose agents show tokens, about which the test decides. */
async function setup(t: Test, limits: { readonly maxStreamsPerIdentity?: number } = {}) {
  const questions: Question[] = []
  const { certificatePem: cert, keyPem: key } = leaves.server
  const world = await agentPort(t, {
    listener: {
      material: { cert, key },
      authenticate: (values, gone, who = 'comes') =>
        new Promise((answer) => {
          questions.push({ values, gone, who, answer })
        }),
      ...limits,
    },
  })
  const asked = async (count: number): Promise<Question> => {
    await eventually(
      `${count} questions`,
      () => questions.length,
      (found) => found >= count,
    )
    return questions[count - 1]!
  }
  return { ...world, asked, questions }
}

t.test('asks whose the token is before it says who it is, and takes the agent as that', async (t) => {
  const { port, asked, connected } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  let answered = false
  void agent.answer.then(() => {
    answered = true
  })
  const { values, who, answer } = await asked(1)
  t.strictSame([values, who], [['Bearer hunter2'], 'comes'])
  t.notOk(answered)
  t.equal(connected.length, 0)
  answer(known)
  t.match(await agent.answer, { ':status': 200, serverid: 's-1' })
  t.match(connected, [{ agentId: 'a', cluster: 'default', record: { principal: USERNAME } }])
})

t.test('asks about an agent that shows nothing, too', async (t) => {
  const { port, asked } = await setup(t)
  await joinAgent(t, port, { agentid: 'a' }, 'none')
  t.strictSame((await asked(1)).values, [])
})

t.test('refuses in the words of the answer, and logs who that was, without the token', async (t) => {
  const { port, asked, connected, metrics, log } = await setup(t)
  const agentid = 'i'.repeat(200)
  const agent = await joinAgent(t, port, { ...headers, agentid }, 'none')
  ;(await asked(1)).answer({ kind: 'refused', text: 'lookup failed: no' })
  t.strictSame(await agent.status, ['2', 'lookup failed: no'])
  t.strictSame(metrics.counted, [['agentRefused', 'unauthenticated']])
  t.equal(connected.length, 0)
  t.match(log.lines, [
    { level: 'warn', message: 'agent refused', fields: { reason: 'lookup failed: no', agent: 'i'.repeat(100) } },
  ])
  t.notMatch(JSON.stringify(log.lines), /hunter2|i{101}/)
})

t.test('looks at what the agent says of itself first, and asks nobody about one that says it wrong', async (t) => {
  const { port, questions } = await setup(t)
  const agent = await joinAgent(t, port, { ...headers, agentidentifiers: 'a;b' }, 'none')
  t.match(await agent.status, ['2', /fail to parse url encoded string/])
  t.equal(questions.length, 0)
})

t.test('asks no further about an agent that has gone, and takes it no more', async (t) => {
  const { port, asked, connected, gone } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const question = await asked(1)
  agent.socket.destroy()
  await eventually('the signal', () => question.gone.aborted, Boolean)
  question.answer(known)
  const next = await joinAgent(t, port, headers, 'none')
  ;(await asked(2)).answer(known)
  await next.answer
  t.equal(connected.length, 1)
  t.equal(gone.length, 0)
})

t.test('takes nobody whose token was under review when it was closed', async (t) => {
  const { port, asked, connected, listener } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const { answer } = await asked(1)
  listener.close()
  answer(known)
  t.match(await agent.status, ['14', 'the server is shutting down'])
  t.equal(connected.length, 0)
})

t.test('counts streams by service account, those under review not yet', async (t) => {
  const { port, asked } = await setup(t, { maxStreamsPerIdentity: 1 })
  const [one, two] = [await joinAgent(t, port, headers, 'none'), await joinAgent(t, port, headers, 'none')]
  ;(await asked(1)).answer(known)
  ;(await asked(2)).answer(known)
  const outcomes = await Promise.all(
    [one, two].map((agent) => Promise.race([agent.status.catch(() => new Promise(() => undefined)), agent.answer])),
  )
  t.equal(JSON.stringify(outcomes).match(/1 agents are connected with this identity/g)?.length, 1)
})

t.test('lets an agent send little until it is known, and as much as any then', async (t) => {
  const { port, asked } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const { answer } = await asked(1)
  t.equal(agent.http.remoteSettings.initialWindowSize, 65_535)
  const settings = once(agent.http, 'remoteSettings')
  answer({ kind: 'known', username: USERNAME })
  await within(settings, 'settings')
  t.equal(agent.http.remoteSettings.initialWindowSize, 4 * 2 ** 20)
})

/** A token that is reviewed again, by the test: who follows it now, and how it is lost. */
function reviewedToken(username = USERNAME) {
  const followers = new Set<Parameters<FollowToken>[0]>()
  const judgement: ShownToken = {
    kind: 'known',
    username,
    follow(lost) {
      followers.add(lost)
      return { [Symbol.dispose]: () => void followers.delete(lost) }
    },
  }
  return { judgement, followers, lose: (...why: Parameters<Parameters<FollowToken>[0]>) => [...followers][0]?.(...why) }
}

async function showToken({ http }: HandMadeAgent, authorization: string, more: Record<string, string> = {}) {
  const request = http.request({ ':method': 'POST', ':path': NEW_TOKEN_PATH, authorization, ...more })
  request.on('error', () => undefined)
  let text = ''
  request.on('data', (chunk) => {
    text += String(chunk)
  })
  request.end()
  const answered = once(request, 'response')
  answered.catch(() => undefined)
  return {
    request,
    async answer() {
      const [fields] = await within(answered, 'an answer')
      if (!request.closed) await within(once(request, 'close'), 'its end')
      return { status: fields[':status'], text, ...(fields['grpc-status'] && { grpcStatus: fields['grpc-status'] }) }
    },
  }
}

t.test('who loses its token loses the connection, and is told of as one that was cut off', async (t) => {
  const { port, asked, gone, metrics, log } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const token = reviewedToken()
  ;(await asked(1)).answer(token.judgement)
  await agent.answer
  token.lose('revoked', 'lookup failed: no')
  await eventually('it has gone', () => gone.length, Boolean)
  t.match(
    metrics.counted.filter(([verb]) => verb === 'cutOff'),
    [['cutOff', 'agent', 'revoked']],
  )
  t.match(
    log.lines.filter(({ level }) => level !== 'debug'),
    [
      { message: 'agent connected' },
      {
        level: 'warn',
        message: 'connection cut off: its token is no longer good',
        fields: { why: 'revoked', principal: USERNAME, agent: 'a', reason: 'lookup failed: no' },
      },
      { message: 'agent disconnected', fields: { how: 'revoked' } },
    ],
  )
  t.notMatch(JSON.stringify(log.lines), /hunter2/)
})

t.test('nobody looks at the token of an agent that has gone', async (t) => {
  const { port, asked, gone } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const token = reviewedToken()
  ;(await asked(1)).answer(token.judgement)
  await agent.answer
  t.equal(token.followers.size, 1)
  agent.socket.destroy()
  await eventually('it has gone', () => gone.length, Boolean)
  t.equal(token.followers.size, 0)
})

t.test('an agent that shows another token of the same user lives by that one', async (t) => {
  const { port, asked, gone, log } = await setup(t)
  const agent = await joinAgent(t, port, { ...headers, ...ours }, 'none')
  const [first, second] = [reviewedToken(), reviewedToken()]
  ;(await asked(1)).answer(first.judgement)
  t.match(await agent.answer, { 'culvert-extensions': /new-token\/1/ })
  const shown = await showToken(agent, 'Bearer hunter3')
  const { values, who, answer } = await asked(2)
  t.strictSame([values, who], [['Bearer hunter3'], 'connected'])
  answer(second.judgement)
  t.strictSame(await shown.answer(), { status: 200, text: '' })
  t.equal(first.followers.size, 0)
  t.equal(gone.length, 0)
  second.lose('expired', 'it is over')
  await eventually('it has gone', () => gone.length, Boolean)
  t.notMatch(JSON.stringify(log.lines), /hunter/)
})

t.test('a token that is refused, or of another user, changes nothing', async (t) => {
  const { port, asked } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const [first, foreign] = [reviewedToken(), reviewedToken('system:serviceaccount:ns:other')]
  ;(await asked(1)).answer(first.judgement)
  await agent.answer
  const refused = await showToken(agent, 'Bearer hunter3')
  ;(await asked(2)).answer({ kind: 'refused', text: 'lookup failed: no' })
  t.strictSame(await refused.answer(), { status: 403, text: 'lookup failed: no' })
  const other = await showToken(agent, 'Bearer hunter4')
  ;(await asked(3)).answer(foreign.judgement)
  t.strictSame(await other.answer(), { status: 403, text: 'is of another user than the connection' })
  t.equal(first.followers.size, 1)
  t.equal(foreign.followers.size, 0)
})

/** An agent that has shown another token, which is asked about second. */
async function showing(t: Test) {
  const given = await setup(t)
  const agent = await joinAgent(t, given.port, headers, 'none')
  const first = reviewedToken()
  ;(await given.asked(1)).answer(first.judgement)
  await agent.answer
  await showToken(agent, 'Bearer hunter3')
  return { ...given, agent, first }
}

t.test('who loses its token while another one is under review lives by that, if it is good', async (t) => {
  const { port, asked, clock, gone } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const [first, second] = [reviewedToken(), reviewedToken()]
  ;(await asked(1)).answer(first.judgement)
  await agent.answer
  const shown = await showToken(agent, 'Bearer hunter3')
  const { answer } = await asked(2)
  first.lose('expired', 'it is over')
  answer(second.judgement)
  t.match(await shown.answer(), { status: 200 })
  clock.advance(2_000)
  t.equal(agent.socket.destroyed, false)
  t.equal(gone.length, 0)
  second.lose('revoked', 'no')
  await eventually('it has gone', () => gone.length, Boolean)
})

t.test('who loses its token while another one is under review is cut off when that is no good', async (t) => {
  const { first, asked, gone, log } = await showing(t)
  const { answer } = await asked(2)
  first.lose('revoked', 'no')
  t.strictSame(
    log.messages('warn').filter((message) => message.startsWith('connection cut off')),
    [],
  )
  answer({ kind: 'refused', text: 'lookup failed: no' })
  await eventually('it has gone', () => gone.length, Boolean)
})

t.test('who loses its token while another one is under review is cut off after two seconds', async (t) => {
  const { first, asked, gone, clock } = await showing(t)
  await asked(2)
  first.lose('revoked', 'no')
  clock.advance(2_000)
  await eventually('it has gone', () => gone.length, Boolean)
})

t.test(
  'who leaves by itself while another token is under review was not cut off, though it had lost its own',
  async (t) => {
    const { port, asked, gone, log } = await setup(t)
    const agent = await joinAgent(t, port, headers, 'none')
    const first = reviewedToken()
    ;(await asked(1)).answer(first.judgement)
    await agent.answer
    await showToken(agent, 'Bearer hunter3')
    const { answer } = await asked(2)
    first.lose('revoked', 'no')
    agent.socket.destroy()
    await eventually('it has gone', () => gone.length, Boolean)
    answer({ kind: 'refused', text: 'lookup failed: no' })
    await setImmediate()
    t.strictSame(
      log.messages('warn').filter((message) => message.startsWith('connection cut off')),
      [],
    )
  },
)

t.test('takes a new token one at a time, and nothing from who goes meanwhile', async (t) => {
  const { port, asked, questions, gone } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  const [first, second] = [reviewedToken(), reviewedToken()]
  ;(await asked(1)).answer(first.judgement)
  await agent.answer
  await showToken(agent, 'Bearer hunter3')
  const { answer } = await asked(2)
  t.match(await (await showToken(agent, 'Bearer hunter4')).answer(), { status: 429 })
  t.equal(questions.length, 2)
  agent.socket.destroy()
  await eventually('it has gone', () => gone.length, Boolean)
  answer(second.judgement)
  await setImmediate() // what an answer leads to has happened
  t.equal(second.followers.size, 0)
})

t.test('a token is shown by POST: what else comes there is refused as any second call', async (t) => {
  const { port, asked, questions } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  ;(await asked(1)).answer(reviewedToken().judgement)
  await agent.answer
  const got = await showToken(agent, 'Bearer hunter3', { ':method': 'GET' })
  t.match(await got.answer(), { grpcStatus: '8' })
  t.equal(questions.length, 1)
})

t.test('takes new tokens not too often', async (t) => {
  const { port, asked, clock } = await setup(t)
  const agent = await joinAgent(t, port, headers, 'none')
  ;(await asked(1)).answer(reviewedToken().judgement)
  await agent.answer
  const isTaken = async (count: number): Promise<void> => {
    const shown = await showToken(agent, 'Bearer hunter3')
    ;(await asked(count)).answer({ kind: 'refused', text: 'lookup failed: no' })
    t.match(await shown.answer(), { status: 403 })
  }
  for (let count = 2; count < 18; count++) await isTaken(count)
  t.match(await (await showToken(agent, 'Bearer hunter3')).answer(), { status: 429 })
  clock.advance(10_000)
  await isTaken(18)
})

t.test('where tokens are not reviewed again no other one is taken', async (t) => {
  const { port, asked, questions } = await setup(t)
  const agent = await joinAgent(t, port, { ...headers, ...ours }, 'none')
  ;(await asked(1)).answer(known)
  t.notMatch((await agent.answer)['culvert-extensions'], /new-token/)
  await (await showToken(agent, 'Bearer hunter3')).answer()
  t.equal(questions.length, 1)
})
