/** Certificates that the CA signed with any subject alternative names at all, as a careless or foreign issuer might. */
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
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { x509 } from '../../src/pki/x509.ts'

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
