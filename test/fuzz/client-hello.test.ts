import { fuzz } from './minute.ts'
import { clientHello } from './targets/client-hello.ts'

fuzz(clientHello)
