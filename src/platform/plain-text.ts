/** Text of others on a terminal or in a log. Pure. */

/**
 * Control and line-breaking characters, and those that reverse the direction of the text, as the escapes that JSON has for them
 * (RFC 8259 section 7): JSON of one line stays the same JSON.
 */
export function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('') // into what JSON escapes one by one: the halves of a surrogate pair
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}
