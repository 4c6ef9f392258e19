/** What holds of our YAML wherever it is read: what is JSON is read as `JSON.parse` reads it. */
import { readYaml } from '../../../src/platform/yaml.ts'
import { utf8 } from '../mutate.ts'
import { hold } from '../target.ts'

export const yamlPieces = utf8(
  ...[
    '\n---\n',
    '---\n',
    '...\n',
    '\n',
    ' ',
    '  ',
    '\n  - ',
    '\n    ',
    '# c\n',
    ': ',
    '- ',
    '&a ',
    '*a',
    '<<: ',
    '!t ',
    '!!str ',
  ],
  ...[
    '? ',
    '%YAML 1.2\n',
    '{',
    '}',
    '{}',
    '[',
    ']',
    '"',
    "'",
    '|\n',
    '>-\n',
    ',',
    '\t',
    '\0',
    '1e9',
    '-1',
    '~',
    'null',
    'true',
  ],
  ...[
    '__proto__: 1\n',
    'constructor',
    '\u2028',
    '\u0130',
    '\ufeff',
    '/',
    '\r\n',
    '[[[[[[[[',
    '"\\ud800"',
    '"\\u0041"',
    '.5',
    '0o7',
  ],
)

/** @returns the documents, if it is YAML as we take it */
export function readAsJson(text: string): readonly unknown[] | undefined {
  const read = readYaml(text, { name: 'x' })
  if (!read.ok) return undefined
  const values = read.documents.map(({ value }) => value)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return values
  }
  const wanted = json === null ? [] : [json]
  hold(
    JSON.stringify(values) === JSON.stringify(wanted),
    () => `JSON.parse: ${JSON.stringify(wanted)}, ours: ${JSON.stringify(values)}`,
  )
  return values
}
