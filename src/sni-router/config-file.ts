/**
 * The configuration file, read and looked at again and again: a new one is used as a whole or not at all. Where it listens is
 * fixed by the start; a file that says otherwise is broken until the next.
 */
import type { Clock } from '../platform/clock.ts'
import type { TunnelError } from '../platform/errors.ts'
import { type Loaded, type Watch, watchTexts } from '../platform/watched.ts'
import { readYaml } from '../platform/yaml.ts'
import { type Problem, type RouterConfig, readConfig } from './core/config.ts'
import { type SchemaCheck, schemaCheck } from './schema.ts'

/** Longest configuration: bytes. Ten thousand routes have two million. */
export const MAX_CONFIG_BYTES = 8_388_608
/** Between two looks: milliseconds. */
const LOOK_MS = 5_000

export type ConfigEvents = {
  readonly changed: (config: RouterConfig) => void
  readonly broken: (error: TunnelError) => void
  readonly mended: () => void
}

/** @throws TunnelError `bad-option` with every problem, one per line, when it is broken at the start */
export function watchConfig(path: string, clock: Clock, events: ConfigEvents): Watch<RouterConfig> {
  const check = schemaCheck()
  let listens: string | undefined
  return watchTexts(
    { flag: '--config', path, maxBytes: MAX_CONFIG_BYTES },
    (files) => {
      const loaded = loadConfig(files[0]?.path ?? path, files[0]?.text ?? '', check)
      if (!loaded.ok) return loaded
      const wanted = listensOf(loaded.value)
      listens ??= wanted
      if (wanted === listens) return loaded
      return { ok: false, problems: [`${path}: listen has changed: restart to listen elsewhere, or put it back`] }
    },
    { clock, intervalMs: LOOK_MS, ...events },
  )
}

export function loadConfig(name: string, text: string, check: SchemaCheck = schemaCheck()): Loaded<RouterConfig> {
  const read = readYaml(text, { name, maxBytes: MAX_CONFIG_BYTES })
  if (!read.ok) return read
  const [document, ...more] = read.documents
  if (document === undefined || more.length > 0) {
    return { ok: false, problems: [`${name}: expected one YAML document, got ${read.documents.length}`] }
  }
  const told = (problems: readonly Problem[]): Loaded<never> => ({
    ok: false,
    problems: problems.map(({ at, what }) => `${name}:${document.lineOf(at)}: ${placeOf(at)}${what}`),
  })
  const checked = check(document.value)
  if ('problems' in checked) return told(checked.problems)
  const { config, problems } = readConfig(checked.given)
  return problems.length > 0 ? told(problems) : { ok: true, value: config }
}

/** `/routes/0/hosts/1` is `routes[0].hosts[1]: `. */
function placeOf(pointer: string): string {
  const place = pointer
    .replace(/\/(\d+)(?=\/|$)/g, '[$1]')
    .replace(/^\//, '')
    .replaceAll('/', '.')
    .replaceAll('~1', '/')
    .replaceAll('~0', '~')
  return place === '' ? '' : `${place}: `
}

const listensOf = ({ listen }: RouterConfig): string =>
  JSON.stringify(listen.map(({ address, port }) => [address, port]))
