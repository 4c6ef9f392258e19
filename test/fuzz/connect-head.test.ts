import t from 'tap'
import { readConnectHead } from '../../src/proxy-server/core/connect-head.ts'
import { fuzz } from './minute.ts'
import { connectHead, disagreement, LIMIT } from './targets/connect-head.ts'

t.test('never throws, and answers alike at every split, with each byte damaged in every way', async (t) => {
  const head = Buffer.from('CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-A: b c\r\n\r\nearly')
  const problems: string[] = []
  for (let at = 0; at < head.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const damaged = Buffer.from(head)
      damaged[at] = byte
      readConnectHead(damaged, LIMIT)
      const problem = byte % 16 === 0 ? disagreement(damaged) : undefined
      if (problem !== undefined) problems.push(`byte ${at} = ${byte}: ${problem}`)
    }
  }
  t.strictSame(problems, [])
})

fuzz(connectHead)
