/** A real Prometheus in the hub, with the scrape configuration of docs/prometheus.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../programs/programs.ts'
import { API_PORT } from './kubectl.ts'
import { HUB_ADDRESS, type Network } from './network.ts'
import { type Running, start } from './process.ts'
import { ready } from './ready.ts'

const DOCUMENT = join(import.meta.dirname, '../../docs/prometheus.md')
const WEB = '127.0.0.1:9090'
const READY_MS = 60_000
/** Ours to choose: the document leaves it to the reader. */
const GLOBAL = 'global:\n  scrape_interval: 5s\n  scrape_timeout: 5s\n'

export type Credentials = { readonly caFile: string; readonly tokenFile: string }
export type Sample = { readonly labels: Readonly<Record<string, string>>; readonly value: number }
export type Prometheus = Running & {
  /** An instant query, in PromQL. */
  query(expression: string): Promise<readonly Sample[]>
}

/** The block of YAML in docs/prometheus.md that has this in it. @throws Error unless there is exactly one */
export async function documented(part: string): Promise<string> {
  const blocks = [...(await readFile(DOCUMENT, 'utf8')).matchAll(/^```yaml\n(.*?)^```$/gms)].map(
    ([, block = '']) => block,
  )
  const [block, ...more] = blocks.filter((block) => block.includes(part))
  if (block === undefined || more.length > 0) throw new Error(`expected one block of YAML with ${part} in ${DOCUMENT}`)
  return block
}

/** @returns once it is up; what it scrapes it finds by itself */
export async function startPrometheus({ hub }: Network, credentials: Credentials, folder: string): Promise<Prometheus> {
  const file = join(folder, 'prometheus.yaml')
  await writeFile(file, GLOBAL + filledIn(await documented('scrape_configs:'), credentials))
  const command = [
    await program('prometheus'),
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'prometheus')}`,
  ]
  command.push(`--web.listen-address=${WEB}`)
  const prometheus = start({ name: 'prometheus', namespace: hub, folder, command })
  await prometheus.until(ready(hub, `http://${WEB}/-/ready`, READY_MS))
  return {
    ...prometheus,
    query: async (expression) => {
      const url = `http://${WEB}/api/v1/query?query=${encodeURIComponent(expression)}`
      return samplesOf(await prometheus.until(ready(hub, url, READY_MS)))
    },
  }
}

/** The address and the two paths, wherever they stand: this is all that a reader has to replace. */
function filledIn(text: string, { caFile, tokenFile }: Credentials): string {
  return [
    ['kube-apiserver.example.internal:6443', `${HUB_ADDRESS}:${API_PORT}`],
    ['/etc/prometheus/cluster/ca.crt', caFile],
    ['/etc/prometheus/cluster/token', tokenFile],
  ].reduce((filled, [place = '', value = '']) => filled.replaceAll(place, value), text)
}

type Answer = {
  readonly data: { readonly result: readonly { metric: Sample['labels']; value: readonly [number, string] }[] }
}

function samplesOf(body: string): Sample[] {
  const { data }: Answer = JSON.parse(body)
  return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
}
