import t from 'tap'
import { keyProblem, labelsAsSelector, parseLabels, valueProblem } from '../../../src/kubernetes/core/labels.ts'

t.test('reads pairs, with blanks around keys and values', async (t) => {
  t.strictSame(parseLabels('k8s-app=konnectivity-server'), { labels: { 'k8s-app': 'konnectivity-server' } })
  t.strictSame(parseLabels(' a = 1 , example.com/b = x.y_z '), { labels: { a: '1', 'example.com/b': 'x.y_z' } })
})

t.test('takes an empty value, and the last of two', async (t) => {
  t.strictSame(parseLabels('a=,b=1,b=2'), { labels: { a: '', b: '2' } })
})

t.test("refuses what konnectivity refuses, in konnectivity's words", async (t) => {
  t.strictSame(parseLabels(''), { problem: 'empty string provided' })
  for (const wrong of ['a', 'a=b=c', '']) {
    t.strictSame(parseLabels(`k=v,${wrong}`), { problem: `invalid label format: ${wrong}` })
  }
})

t.test('refuses what no API server would store', async (t) => {
  for (const wrong of ['a b=c', '-a=b', '=b', '/a=b', 'A.B/c=d', 'a/b/c=d', `${'k'.repeat(64)}=v`, 'k=v v', 'k=-v']) {
    t.match(parseLabels(wrong), { problem: /^expected a label (?:key|value)/ }, wrong)
  }
})

t.test('takes keys and values of the greatest length, and none that is longer', async (t) => {
  t.equal(keyProblem(`${'p'.repeat(253)}/${'k'.repeat(63)}`), undefined)
  t.match(keyProblem(`${'p'.repeat(254)}/k`), /^expected a label key/)
  t.equal(valueProblem('v'.repeat(63)), undefined)
  t.match(valueProblem('v'.repeat(64)), /^expected a label value/)
})

t.test('selects exactly these labels, in the order of their keys', async (t) => {
  t.equal(labelsAsSelector({ b: '2', a: '1' }), 'a=1,b=2')
})
