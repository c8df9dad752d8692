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
import { type Certificate, readCertificate } from "../der/certificate.ts";
import { AttestationError } from "../errors/attestation.ts";
import { EncodingError } from "../errors/encoding.ts";
import type { ChainCache, VerifyKey } from "./chain-cache.ts";
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
  return authenticate(parse(document), options);
}

/** @throws {AttestationError} */
export async function authenticate(
  parsed: ParsedAttestation,
  { roots, now, clockSkewMs = 0, chainCache }: AuthenticateOptions,
): Promise<AuthenticAttestation> {
  const [root, leaf] = [parsed.chain[0], parsed.chain.at(-1)];
  if (!root || !leaf) throw new TypeError("a parsed document has a chain");
  if (!roots.some((trusted) => equalBytes(trusted, root))) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(root)));
    throw new AttestationError("ERR_ATTESTATION_ROOT_UNTRUSTED", { fingerprint: toHex(digest) });
  }
  const issuers = parsed.chain.slice(0, -1);
  const known = chainCache?.get(issuers);
  const chain = [...(known?.certificates ?? issuers.map(readAt)), readAt(leaf, issuers.length)];
  for (const [index] of chain.entries()) checkRole(chain, index);
  for (const [index] of chain.slice(1).entries()) checkLink(chain, index + 1);
  for (const [index, certificate] of chain.entries()) checkTime(certificate, index, now, clockSkewMs);
  checkMade(parsed.timestamp, leafOf(chain), now);
  const signer = await checkSignatures(chain, parsed, known?.signer);
  if (!known) chainCache?.set(issuers, { certificates: chain.slice(0, -1), signer });
  const { sign1: _sign1, chain: _chain, ...claims } = parsed;
  return { ...claims, authentic: true, certificateExpires: leafOf(chain).notAfter };
}

function broken(certificate: number, rule: string, cause?: unknown): AttestationError {
  return new AttestationError("ERR_ATTESTATION_CHAIN", { certificate, rule }, { cause });
}

function leafOf(chain: readonly Certificate[]): Certificate {
  const leaf = chain.at(-1);
  if (!leaf) throw new TypeError("a chain has a leaf");
  return leaf;
}

function readAt(der: Uint8Array, index: number): Certificate {
  try {
    return readCertificate(der);
  } catch (error) {
    if (!(error instanceof EncodingError)) throw error;
    throw broken(index, error.message, error);
  }
}

/** Only the last certificate is a leaf, and it can not issue; every other one must say that it may. */
function checkRole(chain: readonly Certificate[], index: number): void {
  const { basicConstraints, keyUsage, unknownCritical } = chain[index]?.extensions ?? { unknownCritical: [] };
  if (unknownCritical.length > 0) throw broken(index, `critical extension ${unknownCritical[0]} is not known`);
  if (!basicConstraints?.critical) throw broken(index, "basicConstraints must be present and critical");
  if (!keyUsage) throw broken(index, "keyUsage must be present");
  if (index === chain.length - 1) {
    if (basicConstraints.isCa || basicConstraints.pathLength !== undefined || keyUsage.keyCertSign) {
      throw broken(index, "the leaf must not be a certificate authority");
    }
    if (!keyUsage.digitalSignature) throw broken(index, "the leaf's keyUsage must have digitalSignature");
    if (index === 0) throw broken(index, "the root must not be the leaf");
    return;
  }
  if (!basicConstraints.isCa) throw broken(index, "an issuer must be a certificate authority");
  if (!keyUsage.keyCertSign) throw broken(index, "an issuer's keyUsage must have keyCertSign");
  // RFC 5280 §4.2.1.9: how many certificate authorities may follow before the leaf.
  const following = chain.length - 2 - index;
  if (basicConstraints.pathLength !== undefined && basicConstraints.pathLength < following) {
    throw broken(index, `pathLenConstraint ${basicConstraints.pathLength} is less than ${following}`);
  }
}

function checkLink(chain: readonly Certificate[], index: number): void {
  const [issuer, certificate] = [chain[index - 1], chain[index]];
  if (!issuer || !certificate) throw new TypeError("a link has two certificates");
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

const ECDSA_P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ECDSA_SHA384 = { name: "ECDSA", hash: "SHA-384" } as const;

/** Checks the links and the document side by side; where the issuers are known, only the leaf's link and the document. */
async function checkSignatures(
  chain: readonly Certificate[],
  { sign1 }: ParsedAttestation,
  knownSigner: VerifyKey | undefined,
): Promise<VerifyKey> {
  const from = knownSigner ? chain.length - 2 : 0;
  const keys = await Promise.all(
    chain.slice(from).map((certificate, index) => (index === 0 && knownSigner) || importKey(certificate, from + index)),
  );
  const links = chain.slice(from + 1).map(({ signature, tbs }, index) => verify(keys[index], signature, tbs));
  const [document, ...linked] = await Promise.all([verify(keys.at(-1), sign1.signature, sign1.signed), ...links]);
  const failed = linked.indexOf(false);
  if (failed >= 0) throw broken(from + failed + 1, "its issuer's key did not sign it");
  if (!document) throw new AttestationError("ERR_ATTESTATION_SIGNATURE", {});
  const signer = keys.at(-2);
  if (!signer) throw new TypeError("a chain has an issuer");
  return signer;
}

async function importKey(certificate: Certificate, index: number): Promise<VerifyKey> {
  try {
    return await crypto.subtle.importKey("spki", Uint8Array.from(certificate.publicKey), ECDSA_P384, false, ["verify"]);
  } catch (cause) {
    throw broken(index, "its public key must be a point on P-384", cause);
  }
}

async function verify(key: VerifyKey | undefined, signature: Uint8Array, signed: Uint8Array): Promise<boolean> {
  if (!key) throw new TypeError("a signature is checked with a key");
  return crypto.subtle.verify(ECDSA_SHA384, key, Uint8Array.from(signature), Uint8Array.from(signed));
}
