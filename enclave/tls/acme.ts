/**
 * Gets a certificate over the enclave's own TLS key from a public authority, by ACME with the challenge tls-alpn-01.
 *
 *   account → order → for each name: challenge answered by this enclave's TLS → CSR → certificate, shown from then on
 *
 * It proves nothing about the enclave (a parent can get one for the same name) and serves clients that know nothing else.
 * The challenge is answered where TLS ends, inside; the requests to the authority leave by whatever `fetch` is handed in,
 * the enclave's own for instance. A certificate of another key is not shown.
 *
 * Source: RFC 8555 §7.4, §7.5; RFC 8737.
 *
 * @module
 */
import "reflect-metadata";
import {
  Extension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { type AcmeAnswer, AcmeSession, type AcmeSessionOptions, httpsUrl, refused } from "./acme-session.ts";
import type { AttestedTls } from "./attested-tls.ts";
import { SIGNATURE_ALGORITHM, type TlsIdentity } from "./identity.ts";

export interface CertificateOptions extends AcmeSessionOptions {
  readonly tls: Pick<AttestedTls, "identity" | "showCertificate" | "answerChallenge">;
  /** Host names. */
  readonly names: readonly [string, ...string[]];
  /** Dates the challenge's certificate. */
  readonly now: () => Date;
  /** Waits between two questions; gives up when `signal` is aborted. */
  readonly sleep: (ms: number) => Promise<void>;
}

export interface ShownCertificate {
  /** The enclave's certificate first, PEM. */
  readonly chainPem: string;
  readonly notAfter: Date;
  /** For CAA's `accounturi`. */
  readonly accountUrl: string;
}

/** RFC 8737 §6.1. */
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31";
const POLL_MS = 1_000;
const POLLS_MAX = 60;

/**
 * Runs one order. Call it again in time for the next certificate: nothing renews by itself.
 *
 * @throws {SessionError} `ERR_SESSION_CERTIFICATE`
 */
export async function obtainCertificate(options: CertificateOptions): Promise<ShownCertificate> {
  const { tls, names } = options;
  const session = await AcmeSession.open(options);
  const identifiers = names.map((value) => ({ type: "dns", value }));
  const placed = await session.post("order", session.urlOf("newOrder"), { identifiers });
  const order = httpsUrl("order", placed.location);
  const authorizations = placed.json["authorizations"];
  if (!Array.isArray(authorizations)) throw refused("order", "no authorizations");
  for (const url of authorizations) await authorize(session, httpsUrl("order", url), options);

  const csr = await requestFor(tls.identity, names);
  await session.post("finalize", httpsUrl("order", placed.json["finalize"]), { csr });
  const { json } = await settled(() => session.post("order", order), { step: "order", options });
  const { text: chainPem } = await session.post("certificate", httpsUrl("certificate", json["certificate"]));
  tls.showCertificate(chainPem);
  return { chainPem, notAfter: new X509Certificate(chainPem).notAfter, accountUrl: session.accountUrl };
}

async function authorize(session: AcmeSession, url: string, options: CertificateOptions): Promise<void> {
  const { json } = await session.post("authorization", url);
  if (json["status"] === "valid") return;
  const { identifier, challenges } = json as { identifier?: { value?: unknown }; challenges?: unknown };
  const list = Array.isArray(challenges) ? (challenges as Record<string, unknown>[]) : [];
  const challenge = list.find(({ type }) => type === "tls-alpn-01");
  const [name, token] = [identifier?.value, challenge?.["token"]];
  if (typeof name !== "string" || typeof token !== "string") throw refused("authorization", "no tls-alpn-01");
  const { tls, now } = options;
  const certificate = await challengeCertificate(tls.identity, {
    ...{ name, now: now(), authorization: await session.keyAuthorization(token) },
  });
  const done = tls.answerChallenge(certificate);
  try {
    await session.post("challenge", httpsUrl("challenge", challenge?.["url"]), {});
    await settled(() => session.post("authorization", url), { step: "authorization", options });
  } finally {
    done();
  }
}

/** Asks until the object is valid. */
async function settled(
  ask: () => Promise<AcmeAnswer>,
  { step, options }: { readonly step: string; readonly options: CertificateOptions },
): Promise<AcmeAnswer> {
  for (let polls = 0; polls < POLLS_MAX; polls++) {
    const answer = await ask();
    const { status } = answer.json;
    if (status === "valid") return answer;
    if (status === "invalid") throw refused(step, "invalid");
    options.signal.throwIfAborted();
    await options.sleep(answer.retryAfterMs ?? POLL_MS);
  }
  throw refused(step, `not settled after ${POLLS_MAX} questions`);
}

async function requestFor({ keys }: TlsIdentity, names: readonly string[]): Promise<string> {
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: "CN=enclave",
    keys,
    signingAlgorithm: SIGNATURE_ALGORITHM,
    extensions: [new SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns", value })))],
  });
  return Buffer.from(request.rawData).toString("base64url");
}

interface Challenge {
  readonly name: string;
  readonly now: Date;
  readonly authorization: string;
}

async function challengeCertificate({ keys }: TlsIdentity, { name, now, authorization }: Challenge): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", Buffer.from(authorization)));
  const octetString = Uint8Array.of(0x04, digest.length, ...digest);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=enclave",
    notBefore: new Date(now.getTime() - 3_600_000),
    notAfter: new Date(now.getTime() + 3_600_000),
    signingAlgorithm: SIGNATURE_ALGORITHM,
    keys,
    extensions: [
      new SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
      new Extension(ACME_IDENTIFIER, true, octetString),
    ],
  });
  return certificate.toString("pem");
}
