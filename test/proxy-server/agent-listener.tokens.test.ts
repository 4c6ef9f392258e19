import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { Judgement } from '../../src/kubernetes/core/token-review.ts'
import { eventually, within } from '../integration/deadline.ts'
import { agentPort, joinAgent, leaves } from './agent-port.ts'

const USERNAME = 'system:serviceaccount:ns:sa'
const known: Judgement = { kind: 'known', username: USERNAME }
const headers = { agentid: 'a', agentidentifiers: '', authorization: 'Bearer hunter2' }

type Question = {
  readonly values: readonly string[]
  readonly gone: AbortSignal
  readonly answer: (judgement: Judgement) => void
}

/** A port whose agents show tokens, about which the test decides. */
async function setup(t: Test, limits: { readonly maxStreamsPerIdentity?: number } = {}) {
  const questions: Question[] = []
  const { certificatePem: cert, keyPem: key } = leaves.server
  const world = await agentPort(t, {
    listener: {
      material: { cert, key },
      authenticate: (values, gone) =>
        new Promise((answer) => {
          questions.push({ values, gone, answer })
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
  const { values, answer } = await asked(1)
  t.strictSame(values, ['Bearer hunter2'])
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
