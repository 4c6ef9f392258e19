/** All that CI fuzzes for a minute each, and `npm run fuzz` for as long as is asked. */
import type { Target } from '../target.ts'
import { clientHello } from './client-hello.ts'
import { clustersFile } from './clusters-file.ts'
import { connectHead } from './connect-head.ts'
import { identifiers } from './identifiers.ts'
import { policy } from './policy.ts'
import { proxyHeaders } from './proxy-header.ts'
import { tokens } from './tokens.ts'

export const targets: readonly Target[] = [
  ...[clientHello, proxyHeaders, connectHead, clustersFile, policy, identifiers, tokens],
]
