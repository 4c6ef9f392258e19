import { readFileSync } from 'node:fs'
import t from 'tap'
import { readVersion } from '../../src/platform/version.ts'

t.test('gives the version of the package that it is part of', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  t.equal(readVersion(), version)
  t.match(readVersion(), /^\d+\.\d+\.\d+/)
})
