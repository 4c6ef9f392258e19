import t from 'tap'
import { proveMainJob } from './main-job.ts'

await proveMainJob(t, 'tcp', 'culvert')
