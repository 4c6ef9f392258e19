/** Certificates that the CA signed, with what a careless or foreign issuer might put into them. */
import { createPrivateKey, sign as signBytes, X509Certificate } from 'node:crypto'
import type { JsonGeneralName } from '@peculiar/x509'
import type { Authority } from '../../src/pki/authority.ts'
import {
  type CertificateAndKey,
  distinguishedName,
  newKeys,
  sign,
  signingKey,
  validity,
} from '../../src/pki/certificate.ts'
import { readSequence } from '../../src/pki/der.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { x509 } from '../../src/pki/x509.ts'

/** With any subject alternative names at all. */
export async function leafWithNames(
  authority: Authority,
  names: JsonGeneralName[],
  nowUnixMs = Date.now(),
): Promise<CertificateAndKey> {
  const { subjectName } = new x509.X509Certificate(authority.certificatePem)
  const subject = distinguishedName({ organization: 'hostile' })
  const extensions = [new x509.SubjectAlternativeNameExtension(names)]
  const certificate = { ...validity(nowUnixMs, DAY_MS), subject, extensions }
  return sign(certificate, await newKeys(), subjectName, signingKey(authority.keyPem))
}

/** The same signed anew, its length written with a zero in front: no DER, and OpenSSL takes it. */
export function withLongLength(authority: Authority, { certificatePem, keyPem }: CertificateAndKey): CertificateAndKey {
  const [body, algorithm] = readSequence(new X509Certificate(certificatePem).raw as Buffer)
  const { content } = body!
  const long = Buffer.concat([Buffer.of(0x30, 0x83, 0, content.length >> 8, content.length & 0xff), content])
  const signature = signBytes('sha256', long, createPrivateKey(authority.keyPem))
  const bits = Buffer.concat([Buffer.of(0x03, signature.length + 1, 0), signature])
  const all = Buffer.concat([long, algorithm!.whole, bits])
  const der = Buffer.concat([Buffer.of(0x30, 0x82, all.length >> 8, all.length & 0xff), all])
  const pem = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
  return { certificatePem: pem, keyPem }
}
