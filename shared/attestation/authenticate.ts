/**
 * Step 2: a trusted root vouches for the leaf key, and the leaf key signed these bytes.
 *
 *   root pinned byte for byte · role by position · names chain · constraints hold · every certificate valid now
 *   · every signature verifies (side by side: they are independent; at most six for a document)
 *
 * Never trusts a root because it came with the document. Uses WebCrypto only, so it runs wherever WebCrypto does.
 *
 * Source: RFC 5280 §6.1; AWS attestation_process.md §3.2.3; RFC 9052 §4.4.
 *
 * @module
 */
import { equalBytes, toHex } from "../bytes.ts";
import { importVerifyKey, isSigned, type VerifyKey } from "../cose/es384.ts";
import { refusing, type Sign1 } from "../cose/sign1.ts";
import { type Certificate, type CertificateExtensions, readCertificate } from "../der/certificate.ts";
import { AttestationError } from "../errors/attestation.ts";
import type { ChainCache, VerifiedIssuers } from "./chain-cache.ts";
import { readClock } from "./clock.ts";
import type { AuthenticAttestation, ParsedAttestation } from "./document.ts";
import { parse } from "./parse.ts";
import type { TrustAnchor } from "./trust.ts";

export interface AuthenticateOptions {
  readonly roots: readonly TrustAnchor[];
  readonly now: Date;
  /** How far this clock may be off, in milliseconds; widens both ends of every validity. */
  readonly clockSkewMs?: number;
  /** Issuers whose signatures were verified before; everything else is judged anew. */
  readonly chainCache?: ChainCache | undefined;
}

/**
 * Steps 1 and 2 alone, for a service that judges the claims by rules of its own, as KMS does by key policies.
 * To decide whether to trust an enclave use `verifyAttestation`.
 *
 * @throws {AttestationError}
 */
export async function authenticateAttestation(
  document: Uint8Array,
  options: AuthenticateOptions,
): Promise<AuthenticAttestation> {
  const { roots, now, clockSkewMs = 0, chainCache } = options;
  return authenticate(parse(document), { roots, ...readClock({ now, clockSkewMs }), chainCache });
}

/** @throws {AttestationError} */
export async function authenticate(
  { issuers, leaf: leafBytes, sign1, ...claims }: ParsedAttestation,
  { roots, now, clockSkewMs = 0, chainCache }: AuthenticateOptions,
): Promise<AuthenticAttestation> {
  const [root] = issuers;
  if (!roots.some((trusted) => equalBytes(trusted, root))) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(root)));
    throw new AttestationError("ERR_ATTESTATION_ROOT_UNTRUSTED", { fingerprint: toHex(digest) });
  }
  const known = chainCache?.get(issuers);
  const certificates = known?.certificates ?? readIssuers(issuers);
  const leaf = readAt(leafBytes, certificates.length);
  for (const [index, issuer] of certificates.entries()) checkIssuer(issuer, index, certificates.length - 1 - index);
  checkLeaf(leaf, certificates.length);
  checkDistinct([...certificates, leaf]);
  const links = linksOf(certificates, leaf);
  for (const link of [...links.upper, links.last]) checkNames(link);
  for (const [index, each] of [...certificates, leaf].entries()) checkTime(each, index, now, clockSkewMs);
  checkMade(claims.timestamp, leaf, now);
  const signer = await checkSignatures(links, sign1, known?.signer);
  if (!known && chainCache) {
    // Copies: what is remembered shares no memory with what the caller gets.
    const own = readIssuers([Uint8Array.from(root), ...issuers.slice(1).map((der) => Uint8Array.from(der))]);
    chainCache.set(issuers, { certificates: own, signer });
  }
  return { ...claims, authentic: true, certificateExpires: leaf.notAfter };
}

function broken(certificate: number, rule: string, cause?: unknown): AttestationError {
  return new AttestationError("ERR_ATTESTATION_CHAIN", { certificate, rule }, { cause });
}

function readIssuers([root, ...intermediates]: ParsedAttestation["issuers"]): VerifiedIssuers["certificates"] {
  return [readAt(root, 0), ...intermediates.map((der, index) => readAt(der, index + 1))];
}

function readAt(der: Uint8Array, index: number): Certificate {
  return refusing(
    () => readCertificate(der),
    (error) => broken(index, error.message, error),
  );
}

type Extensions = CertificateExtensions & Required<Pick<CertificateExtensions, "basicConstraints" | "keyUsage">>;

function checkExtensions({ extensions }: Certificate, index: number): Extensions {
  const { basicConstraints, keyUsage, unknownCritical } = extensions;
  if (unknownCritical.length > 0) throw broken(index, `critical extension ${unknownCritical[0]} is not known`);
  if (!basicConstraints?.critical) throw broken(index, "basicConstraints must be present and critical");
  if (!keyUsage) throw broken(index, "keyUsage must be present");
  return { ...extensions, basicConstraints, keyUsage };
}

/** Every certificate but the last must say that it may issue, with as many authorities after it as there are. */
function checkIssuer(certificate: Certificate, index: number, following: number): void {
  const { basicConstraints, keyUsage } = checkExtensions(certificate, index);
  if (!basicConstraints.isCa) throw broken(index, "an issuer must be a certificate authority");
  if (!keyUsage.keyCertSign) throw broken(index, "an issuer's keyUsage must have keyCertSign");
  // RFC 5280 §4.2.1.9: how many certificate authorities may follow before the leaf.
  if (basicConstraints.pathLength !== undefined && basicConstraints.pathLength < following) {
    throw broken(index, `pathLenConstraint ${basicConstraints.pathLength} is less than ${following}`);
  }
}

/** Only the last certificate is a leaf, and it can not issue. */
function checkLeaf(certificate: Certificate, index: number): void {
  const { basicConstraints, keyUsage } = checkExtensions(certificate, index);
  if (basicConstraints.isCa || basicConstraints.pathLength !== undefined || keyUsage.keyCertSign) {
    throw broken(index, "the leaf must not be a certificate authority");
  }
  if (!keyUsage.digitalSignature) throw broken(index, "the leaf's keyUsage must have digitalSignature");
}

/** A root that signed itself would be its own issuer: a chain as long as one likes. */
function checkDistinct(chain: readonly Certificate[]): void {
  const again = chain.findIndex(({ raw }, index) => chain.slice(0, index).some((other) => equalBytes(other.raw, raw)));
  if (again > 0) throw broken(again, "a certificate must not come twice");
}

/** A certificate and the one before it; `index` is the certificate's. */
interface Link {
  readonly issuer: Certificate;
  readonly certificate: Certificate;
  readonly index: number;
}

interface Links {
  /** Between issuers: what a chain cache remembers. */
  readonly upper: readonly Link[];
  /** From the last issuer to the leaf. */
  readonly last: Link;
}

function linksOf([root, ...intermediates]: VerifiedIssuers["certificates"], leaf: Certificate): Links {
  let issuer = root;
  const upper = intermediates.map((certificate, index): Link => {
    const link = { issuer, certificate, index: index + 1 };
    issuer = certificate;
    return link;
  });
  return { upper, last: { issuer, certificate: leaf, index: upper.length + 1 } };
}

function checkNames({ issuer, certificate, index }: Link): void {
  // RFC 5280 §6.1.3 (a)(4); compared as bytes: AWS writes each name once and copies it.
  if (!equalBytes(certificate.issuer, issuer.subject)) throw broken(index, "its issuer must be the one before it");
  const [authority, subject] = [certificate.extensions.authorityKeyIdentifier, issuer.extensions.subjectKeyIdentifier];
  if (authority && subject && !equalBytes(authority, subject)) {
    throw broken(index, "authorityKeyIdentifier must be the issuer's subjectKeyIdentifier");
  }
}

/** RFC 5280 §4.1.2.5: both ends are inclusive. */
function checkTime(certificate: Certificate, index: number, now: Date, clockSkewMs: number): void {
  const { notBefore, notAfter } = certificate;
  // notAfter names a whole second, which lasts until the next one begins.
  const lasts = notAfter.getTime() + 999;
  if (now.getTime() + clockSkewMs >= notBefore.getTime() && now.getTime() - clockSkewMs <= lasts) return;
  throw new AttestationError("ERR_ATTESTATION_CERTIFICATE_TIME", {
    certificate: index,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    now: now.toISOString(),
  });
}

/** A leaf can only have signed while it was valid: a document that says otherwise has a clock that can not be trusted. */
function checkMade(timestamp: Date, leaf: Certificate, now: Date): void {
  if (timestamp >= leaf.notBefore && timestamp.getTime() <= leaf.notAfter.getTime() + 999) return;
  throw new AttestationError("ERR_ATTESTATION_TIMESTAMP", {
    timestamp: timestamp.toISOString(),
    now: now.toISOString(),
    rule: "it must lie in the leaf certificate's validity",
  });
}

/** Checks the links and the document side by side; where the issuers are known, only the leaf's link and the document. */
async function checkSignatures({ upper, last }: Links, sign1: Sign1, known: VerifyKey | undefined): Promise<VerifyKey> {
  const signer = known ?? (await importKey(last.issuer, last.index - 1));
  const leafKey = await importKey(last.certificate, last.index);
  const document = isSigned(leafKey, sign1.signature, sign1.signed);
  const links = (known ? [] : upper).map(async (link) => judge(link, await importKey(link.issuer, link.index - 1)));
  const broke = (await Promise.all([...links, judge(last, signer)])).find(({ holds }) => !holds);
  if (broke) throw broken(broke.index, "its issuer's key did not sign it");
  if (!(await document)) throw new AttestationError("ERR_ATTESTATION_SIGNATURE", {});
  return signer;
}

async function judge({ certificate, index }: Link, key: VerifyKey): Promise<{ index: number; holds: boolean }> {
  return { index, holds: await isSigned(key, certificate.signature, certificate.tbs) };
}

async function importKey(certificate: Certificate, index: number): Promise<VerifyKey> {
  try {
    return await importVerifyKey(certificate.publicKey);
  } catch (cause) {
    throw broken(index, "its public key must be a point on P-384", cause);
  }
}
