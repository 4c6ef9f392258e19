/** Files for the tests of `culvert clusters`. The program itself: test/cli/clusters.test.ts. */
import { join } from 'node:path'
import type { Test } from 'tap'

/** @returns the flag that names a file with that in it */
export const clustersIn = (t: Test, text: string): string =>
  `--clusters=${join(t.testdir({ 'clusters.yaml': text }), 'clusters.yaml')}`

export const TWO = `id: eu-1
---
id: eu-2
agents: { subjects: [CN=a], users: [u, v] }
frontends: { serverNames: [eu-2.hub.example], socket: /run/eu-2.sock }
limits: { agents: 2 }
`
