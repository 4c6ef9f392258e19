import t from 'tap'
import { readPolicyText } from '../../src/policy/policy.ts'
import { fuzz } from './minute.ts'
import { corpusOf } from './target.ts'
import { policy } from './targets/policy.ts'

t.test('the corpus is read, as an agent’s where it says not who asks', async (t) => {
  for (const { name, bytes } of corpusOf(policy)) {
    const text = bytes.toString()
    if (/\r(?!\n)|\ufeff/.test(text)) continue // those were findings
    t.equal(readPolicyText(text, name, 'hub').ok, true, name)
    t.equal(readPolicyText(text, name).ok, !text.includes('from:'), name)
  }
})

fuzz(policy)
