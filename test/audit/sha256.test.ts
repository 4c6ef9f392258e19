import t from 'tap'
import { sha256 } from '../../src/audit/sha256.ts'

t.test('is SHA-256 in lower hexadecimal digits (FIPS 180-4, the example of one block)', async (t) => {
  t.equal(sha256(Buffer.from('abc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})
