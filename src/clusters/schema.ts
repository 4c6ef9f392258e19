/**
 * What a document of the clusters file may be: config/clusters.schema.json, which editors can use as well, is the one truth;
 * the defaults of the limits are read from it too. Only who reads such a file loads this.
 */
import { readFileSync } from 'node:fs'
import { Ajv, type DefinedError } from 'ajv'
import { schemaWords, shown, type TextWords } from '../platform/schema-words.ts'

/** A document that passed; absent fields are left to the reader. */
export type ClusterDocument = {
  readonly id: string
  readonly agents?: PeersDocument
  readonly frontends?: PeersDocument & {
    readonly serverNames?: readonly string[]
    readonly addresses?: readonly string[]
    readonly socket?: string
  }
  /** For `readRules`. */
  readonly policy?: unknown
  readonly limits?: Readonly<Record<string, number | string>>
}
type PeersDocument = {
  readonly subjects?: readonly string[]
  readonly names?: readonly string[]
  readonly users?: readonly string[]
}

export type SchemaProblem = { readonly pointer: string; readonly expected: string }

type Limit = { readonly default: number | string }
type Schema = {
  readonly properties: { readonly limits: { readonly properties: Readonly<Record<string, Limit>> } }
}

/** The file is two folders up from here, in a checkout (src/clusters) as in a package (dist/clusters). */
const schema = JSON.parse(readFileSync(new URL('../../config/clusters.schema.json', import.meta.url), 'utf8')) as Schema

const validate = new Ajv({ allErrors: true, allowUnionTypes: true, verbose: true }).compile<ClusterDocument>(schema)

export const limitDefaults: Readonly<Record<string, number | string>> = Object.fromEntries(
  Object.entries(schema.properties.limits.properties).map(([name, limit]) => [name, limit.default]),
)

/** @returns how many mistakes there are, and the first of them in words */
export function schemaProblems(
  document: unknown,
  most = Number.POSITIVE_INFINITY,
): { readonly count: number; readonly first: readonly SchemaProblem[] } {
  if (validate(document)) return { count: 0, first: [] }
  const errors = validate.errors as DefinedError[]
  const first = errors.slice(0, most).map((error) => ({ pointer: pointerOf(error), expected: expectedOf(error) }))
  return { count: errors.length, first }
}

function pointerOf({ keyword, instancePath, params }: DefinedError): string {
  return keyword === 'additionalProperties' ? `${instancePath}/${escaped(params.additionalProperty)}` : instancePath
}

const escaped = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')

/** Words for what the schema says, by its keyword. */
function expectedOf(error: DefinedError): string {
  const { keyword, params, parentSchema } = error
  const field = fieldOf(error.instancePath)
  switch (keyword) {
    case 'additionalProperties': {
      const known = Object.keys((parentSchema?.properties ?? {}) as object)
      return `${field}: expected one of ${known.join(', ')}, got ${shown(params.additionalProperty)}`
    }
    case 'required':
      return `${field}: expected ${params.missingProperty}, which is missing`
    case 'uniqueItems':
      return `${field}: expected each once, got number ${params.j + 1} again as number ${params.i + 1}`
    case 'not':
      return `${field}: expected ${NOT_AN_ADDRESS}, got ${shown(error.data)}`
    default:
      return `${field}: ${schemaWords(error, TEXT_WORDS)}`
  }
}

const TEXT_WORDS: TextWords = {
  id: 'a DNS label such as eu-1',
  names: 'a name such as DNS:agent.example or URI:spiffe://other.example/agent',
  addresses: 'an address or a range such as 192.0.2.0/24',
  serverNames: 'a host name in lower case such as eu-1.hub.example',
  socket: 'an absolute path without //, /./ and /../',
  bufferedBytes: 'a size such as 64MiB',
}

/** Only server names have a `not` in the schema. */
const NOT_AN_ADDRESS = 'a host name, no IP address: clients send none as TLS server name (SNI)'

/** `/frontends/names/2` as `frontends.names[2]`. */
function fieldOf(pointer: string): string {
  const path = pointer
    .slice(1)
    .split('/')
    .reduce((path, step) => (/^\d+$/.test(step) ? `${path}[${step}]` : path === '' ? step : `${path}.${step}`), '')
  return path === '' ? 'cluster' : path
}
