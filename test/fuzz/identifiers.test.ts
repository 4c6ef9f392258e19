import { fuzz } from './minute.ts'
import { identifiers } from './targets/identifiers.ts'

fuzz(identifiers)
