/** Checks a configuration against its JSON Schema, and says of each mistake where it is and what to do. */
import { readFileSync } from 'node:fs'
import { Ajv, type ErrorObject } from 'ajv'
import { TunnelError } from '../platform/errors.ts'
import type { Given, Problem } from './core/config.ts'

/** The same way from src/ in a checkout and from dist/ in a package. */
const SCHEMA = new URL('../../config/sni-router.schema.json', import.meta.url)

export type SchemaCheck = (value: unknown) => { readonly given: Given } | { readonly problems: readonly Problem[] }

export function schemaCheck(): SchemaCheck {
  const schema = JSON.parse(readFileSync(SCHEMA, 'utf8')) as object
  const validate = new Ajv({ allErrors: true, verbose: true, strict: false }).compile<Given>(schema)
  return (value) => {
    if (validate(value)) return { given: value }
    const problems = (validate.errors ?? []).map(problemOf)
    if (problems.length === 0) throw new TunnelError('bad-option', 'the configuration is refused without a reason')
    return { problems }
  }
}

function problemOf({ instancePath, keyword, params, message, parentSchema, data }: ErrorObject): Problem {
  if (keyword === 'additionalProperties') {
    const unknown = String(params.additionalProperty)
    const known = Object.keys((parentSchema?.properties ?? {}) as object).join(', ')
    return {
      at: `${instancePath}/${unknown.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      what: `expected one of ${known}, got the key ${JSON.stringify(unknown)}`,
    }
  }
  if (keyword === 'required') return { at: instancePath, what: `${params.missingProperty} must be set` }
  const allowed = keyword === 'enum' ? `: ${(params.allowedValues as string[]).join(', ')}` : ''
  return { at: instancePath, what: `${message}${allowed}, got ${instancePath === '' ? shownWhole(data) : shown(data)}` }
}

const MAX_SHOWN = 100

function shown(data: unknown): string {
  const text = JSON.stringify(data) ?? 'nothing'
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

/** A document that is one text is another file given by mistake, and that may be a key or a token. */
const shownWhole = (document: unknown): string => (typeof document === 'object' ? shown(document) : 'a text alone')
