/** What a certificate may be used for in TLS: its extended key usage, RFC 5280 section 4.2.1.12. */

/** serve: present it to those who connect (serverAuth). connect: present it to those one connects to (clientAuth). */
export type Usage = 'serve' | 'connect'

export const USAGES = {
  serve: { name: 'serverAuth', oid: '1.3.6.1.5.5.7.3.1' },
  connect: { name: 'clientAuth', oid: '1.3.6.1.5.5.7.3.2' },
} as const satisfies Record<Usage, { readonly name: string; readonly oid: string }>
