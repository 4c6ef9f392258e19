import { fuzz } from './minute.ts'
import { proxyHeaders } from './targets/proxy-header.ts'

fuzz(proxyHeaders)
