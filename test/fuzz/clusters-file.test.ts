import { fuzz } from './minute.ts'
import { clustersFile } from './targets/clusters-file.ts'

fuzz(clustersFile)
