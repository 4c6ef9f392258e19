import { Ajv, type DefinedError } from 'ajv'
import t from 'tap'
import { schemaWords } from '../../src/platform/schema-words.ts'

const schema = {
  properties: {
    text: { type: 'string', minLength: 1, maxLength: 3, pattern: '^[a-z]*$' },
    socket: { type: 'string', pattern: '^/' },
    list: { type: 'array', minItems: 2, maxItems: 3 },
    number: { type: ['integer', 'string'], minimum: 1, maximum: 9 },
    word: { enum: ['a', 'b'] },
    one: { const: 1 },
  },
}
const validate = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true }).compile(schema)
const words = (value: object): string[] => {
  validate(value)
  return (validate.errors as DefinedError[]).map((error) => schemaWords(error, { socket: 'an absolute path' }))
}

t.test('says what was expected of a value, and what it got', async (t) => {
  t.strictSame(words({ text: 5 }), ['expected text, got 5'])
  t.strictSame(words({ text: '' }), ['expected at least 1 character, got 0'])
  t.strictSame(words({ text: 'abcd' }), ['expected at most 3 characters, got 4'])
  t.strictSame(words({ text: 'A' }), ['expected text like ^[a-z]*$, got "A"'])
  t.strictSame(words({ socket: 5 }), ['expected an absolute path, got 5'])
  t.strictSame(words({ socket: 'a' }), ['expected an absolute path, got "a"'])
  t.strictSame(words({ list: {} }), ['expected a list, got {}'])
  t.strictSame(words({ list: [] }), ['expected at least 2 items, got 0'])
  t.strictSame(words({ list: [1, 2, 3, 4] }), ['expected at most 3 items, got 4'])
  t.strictSame(words({ number: null }), ['expected a whole number or text, got null'])
  t.strictSame(words({ number: 0 }), ['expected at least 1, got 0'])
  t.strictSame(words({ number: 10 }), ['expected at most 9, got 10'])
  t.strictSame(words({ word: 'c' }), ['expected one of a, b, got "c"'])
})

t.test('says of another keyword what ajv says, and of a long value its beginning', async (t) => {
  t.match(words({ one: 'x'.repeat(200) }), [/^must be equal to constant, got "x{99}…$/])
})
