/** Checks a configuration against its JSON Schema, and says of each mistake where it is and what to do. */
import { readFileSync } from 'node:fs'
import { Ajv, type DefinedError } from 'ajv'
import { TunnelError } from '../platform/errors.ts'
import { schemaWords, type TextWords } from '../platform/schema-words.ts'
import type { Given, Problem } from './core/config.ts'

/** The same way from src/ in a checkout and from dist/ in a package. */
const SCHEMA = new URL('../../config/sni-router.schema.json', import.meta.url)

/** What is wrong with each of them says less than that none fits. */
const ALTERNATIVES = '#/anyOf/'

export type SchemaCheck = (value: unknown) => { readonly given: Given } | { readonly problems: readonly Problem[] }

export function schemaCheck(): SchemaCheck {
  const schema = JSON.parse(readFileSync(SCHEMA, 'utf8')) as object
  const validate = new Ajv({ allErrors: true, verbose: true, strict: false }).compile<Given>(schema)
  return (value) => {
    if (validate(value)) return { given: value }
    const errors = (validate.errors ?? []) as DefinedError[]
    const problems = errors.filter(({ schemaPath }) => !schemaPath.startsWith(ALTERNATIVES)).map(problemOf)
    if (problems.length === 0) throw new TunnelError('bad-option', 'the configuration is refused without a reason')
    return { problems }
  }
}

function problemOf(error: DefinedError): Problem {
  const { instancePath, keyword, params, parentSchema } = error
  if (keyword === 'additionalProperties') {
    const unknown = params.additionalProperty
    const known = Object.keys((parentSchema?.properties ?? {}) as object).join(', ')
    return {
      at: `${instancePath}/${unknown.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      what: `expected one of ${known}, got the key ${JSON.stringify(unknown)}`,
    }
  }
  if (keyword === 'required') return { at: instancePath, what: `${params.missingProperty} must be set` }
  if (keyword === 'anyOf') return { at: instancePath, what: 'routes, default or both must be set' }
  return { at: instancePath, what: schemaWords(error, TEXT_WORDS) }
}

const DURATION = 'a duration such as 250ms, 10s or 5m'
const TEXT_WORDS: TextWords = {
  name: 'a name of 1 to 63 lower-case letters, digits, dots, dashes and underscores, letters or digits at its ends',
  path: 'a path that begins with /, without spaces',
  helloTimeout: DURATION,
  dialTimeout: DURATION,
  dialDeadline: DURATION,
  idleTimeout: DURATION,
  halfClosedTimeout: DURATION,
  interval: DURATION,
  timeout: DURATION,
}
