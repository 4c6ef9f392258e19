import t from 'tap'
import { readDer, readSequence, readTime } from '../../src/pki/der.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const time = (tag: number, text: string): number =>
  readTime({ tag, content: Buffer.from(text, 'latin1'), whole: Buffer.alloc(0) })

t.test('reads elements one after the other, and their contents', async (t) => {
  const elements = readDer(hex('02 01 05 30 03 02 01 07'))
  t.strictSame(
    elements.map(({ tag, content, whole }) => [tag, content.toString('hex'), whole.length]),
    [
      [0x02, '05', 3],
      [0x30, '020107', 5],
    ],
  )
  t.strictSame(readDer(hex('')), [])
  const long = Buffer.concat([hex('04 82 01 00'), Buffer.alloc(256, 1)])
  t.equal(readDer(long)[0]?.content.length, 256)
})

t.test('refuses lengths that are too long, indefinite, or not the shortest', async (t) => {
  for (const text of [
    '02',
    '02 02 05',
    '02 80 05',
    '02 81 05 00',
    '02 81 01 05',
    '02 82 00 85',
    '02 85 01 00 00 00 00',
    '1f 01 00',
    '02 84 ff ff ff ff',
  ]) {
    t.throws(() => readDer(hex(text)), { code: 'malformed' }, text)
  }
  for (const text of ['', '02 01 05', '30 00 30 00'])
    t.throws(() => readSequence(hex(text)), { code: 'malformed' }, text)
})

t.test('reads times in UTC, of both kinds', async (t) => {
  t.equal(time(0x17, '491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59))
  t.equal(time(0x17, '500101000000Z'), Date.UTC(1950, 0, 1))
  t.equal(time(0x18, '20500102030405Z'), Date.UTC(2050, 0, 2, 3, 4, 5))
  for (const [tag, text] of [
    [0x17, '2601010000Z'],
    [0x17, '261301000000Z'],
    [0x18, '20260101000000'],
    [0x18, '20260101000000.5Z'],
    [0x17, '260101000000+0100'],
  ] as const) {
    t.throws(() => time(tag, text), { code: 'malformed' }, text)
  }
})
