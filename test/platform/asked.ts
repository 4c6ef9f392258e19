/** A question to an endpoint, as it reaches the route. */
import type { Asked } from '../../src/platform/endpoints.ts'

export const asked = (question: Partial<Asked> = {}): Asked => ({
  method: 'GET',
  path: '/',
  lastEventId: undefined,
  search: '',
  query: new URLSearchParams(question.search),
  hostname: '127.0.0.1',
  acceptsGzip: false,
  gone: new AbortController().signal,
  ...question,
})
