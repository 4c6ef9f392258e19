import { fuzz } from './minute.ts'
import { tokens } from './targets/tokens.ts'

fuzz(tokens)
