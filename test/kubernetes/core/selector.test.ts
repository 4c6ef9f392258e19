import t from 'tap'
import { selectorProblem } from '../../../src/kubernetes/core/selector.ts'
import { createRandom } from '../../platform/random.ts'

t.test('takes every form of requirement, alone and together', async (t) => {
  const requirements = [
    'k8s-app=konnectivity-server',
    'a==b',
    'a!=b',
    'a = b',
    'example.com/a',
    '!a',
    '! a',
    'a in (b)',
    'a in(b,c)',
    'a notin (b, c)',
    'a in ()',
    'a in (b,)',
    'a=',
    'a!=',
    'a>1',
    'a < -2',
    'in in (in)',
    'notin',
  ]
  for (const requirement of requirements) {
    t.equal(selectorProblem(requirement), undefined, requirement)
    t.equal(selectorProblem(`${requirement},z=1`), undefined, `${requirement} and another`)
    t.equal(selectorProblem(` z , ${requirement} `), undefined, `another and ${requirement}`)
  }
})

t.test('takes nothing, which selects everything', async (t) => {
  t.equal(selectorProblem(''), undefined)
  t.equal(selectorProblem(' '), undefined)
})

t.test('says of every other text what was expected', async (t) => {
  const wrong: Readonly<Record<string, RegExp>> = {
    ',': /^expected a label key .*got ","/,
    'a,': /^expected a label key .*got ""/,
    'a=b c=d': /^expected , between requirements, got "c"/,
    'a b': /^expected =, ==, !=, in, notin, < or >, got "b"/,
    'a=b=c': /^expected , between requirements, got "="/,
    'a in b': /^expected \( after in or notin/,
    'a in (b': /^expected , or \) in a set of values, got ""/,
    'a in (b c)': /^expected , or \) in a set of values, got "c"/,
    'a in (b=c)': /^expected , or \) in a set of values, got "="/,
    'a>b': /^expected a whole number after < or >, got "b"/,
    'a>': /^expected a whole number after < or >, got ""/,
    '!': /^expected a label key/,
    '!a=b': /^expected , between requirements/,
    '-a=b': /^expected a label key/,
    'a=-b': /^expected a label value/,
    'a in (-b)': /^expected a label value/,
    '(a)': /^expected a label key/,
    'a)': /^expected =, ==/,
  }
  for (const [text, problem] of Object.entries(wrong)) {
    t.match(selectorProblem(text), problem, JSON.stringify(text))
    t.ok(selectorProblem(text)?.endsWith(`: ${JSON.stringify(text)} is no label selector`), 'the text is in it')
  }
})

t.test('answers whatever the text, and soon', async (t) => {
  const pieces = ['a', '=', '!', '(', ')', ',', ' in ', ' notin ', '<', '-', ' ', 'é', '"', '\0']
  for (let seed = 0; seed < 5_000; seed++) {
    const random = createRandom(seed)
    const text = Array.from({ length: 1 + (seed % 12) }, () => random.pick(pieces)).join('')
    const answer = selectorProblem(text)
    t.ok(answer === undefined || answer.length > 0, JSON.stringify(text))
  }
})
