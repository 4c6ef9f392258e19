/**
 * A validating webhook, as an operator of the cell would run one: it refuses a ConfigMap whose `data.verdict` is `refuse`, and
 * says in the refusal from which address it was asked. `/metrics` is what target.ts has there, over HTTPS.
 *
 *   node webhook.ts <certificate> <key>
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { text } from 'node:stream/consumers'
import { exposition } from './target.ts'

export const WEBHOOK_PORT = 9444
export const WEBHOOK_PATH = '/review'
export const WEBHOOK_HEALTH_PATH = '/healthz'
/** Only ConfigMaps with this label are reviewed. */
export const REVIEWED_LABEL = 'culvert.test/reviewed'
export const REFUSAL = 'the verdict says refuse, asked from'

type Review = {
  readonly request: { readonly uid: string; readonly object: { readonly data?: { readonly verdict?: string } } }
}

function reviewed({ request }: Review, askedFrom: string): object {
  const allowed = request.object.data?.verdict !== 'refuse'
  const status = { code: 403, message: `${REFUSAL} ${askedFrom}` }
  const response = { uid: request.uid, allowed, ...(!allowed && { status }) }
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }
}

if (import.meta.main) {
  const [, , cert = '', key = ''] = process.argv
  createServer({ cert: readFileSync(cert), key: readFileSync(key) }, async (request, response) => {
    const path = new URL(request.url ?? '/', 'https://gate').pathname
    if (path === WEBHOOK_HEALTH_PATH) return void response.end('ok')
    if (path === '/metrics') {
      response.setHeader('content-type', 'text/plain; version=0.0.4')
      return void response.end(exposition(request.socket.localAddress ?? ''))
    }
    if (path !== WEBHOOK_PATH) return void response.writeHead(404).end()
    const review: Review = JSON.parse(await text(request))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(reviewed(review, request.socket.remoteAddress ?? '')))
  }).listen(WEBHOOK_PORT, '0.0.0.0')
}
