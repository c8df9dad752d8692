/**
 * A test PKI shaped like AWS's, in which one thing at a time can be wrong and everything is signed anew, or nothing is.
 *
 * @module
 */
import { type AttestationPolicy, dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { fromHex, utf8 } from "../../shared/bytes.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { type Forged, forge, forgeIndefinite } from "./cbor-writer.ts";
import {
  basicConstraints,
  type CertificateParts,
  integer,
  keyUsage,
  name,
  ordinaryParts,
  sequence,
  tbsOf,
  time,
  USAGE,
} from "./der-writer.ts";

export const NOW = new Date("2026-06-01T12:00:00Z");
export const INSTANCE = "i-0123456789abcdef0";
export const MODULE_ID = `${INSTANCE}-enc0123456789abcdef`;

const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const HOUR = 3_600_000;

export type KeyPair = Extract<Awaited<ReturnType<typeof crypto.subtle.generateKey>>, { publicKey: unknown }>;
export type Hash = "SHA-256" | "SHA-384" | "SHA-512";

export async function newKeys(namedCurve = "P-384"): Promise<KeyPair> {
  return (await crypto.subtle.generateKey({ ...P384, namedCurve }, true, ["sign", "verify"])) as KeyPair;
}

export async function sign({ privateKey }: KeyPair, bytes: Uint8Array, hash: Hash = "SHA-384"): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash }, privateKey, Uint8Array.from(bytes)));
}

/** How one certificate is made; every field has the genuine value unless an edit says otherwise. */
export interface CertificateRecipe {
  /** `CN=…`, or a Name in DER. */
  subject: string | Uint8Array;
  issuer?: string | Uint8Array;
  notBefore: Date;
  notAfter: Date;
  extensions: Uint8Array[];
  hash?: Hash;
  keys?: KeyPair;
  /** The keys that sign it, instead of the issuer's. */
  signer?: KeyPair;
  /** Changes the certificate byte by byte before it is signed. */
  parts?: (parts: CertificateParts) => void;
}

const { digitalSignature, nonRepudiation, keyCertSign } = USAGE;
export const CERT_SIGN: Uint8Array = keyUsage([keyCertSign, digitalSignature]);
export const LEAF_USAGE: Uint8Array = keyUsage([digitalSignature, nonRepudiation], false);

export function recipes(): CertificateRecipe[] {
  const made = (subject: string, before: number, after: number, ...extensions: Uint8Array[]): CertificateRecipe => ({
    subject,
    notBefore: new Date(NOW.getTime() - before * HOUR),
    notAfter: new Date(NOW.getTime() + after * HOUR),
    extensions,
  });
  return [
    made("CN=root", 50_000, 50_000, basicConstraints(true), CERT_SIGN),
    made("CN=regional", 48, 400, basicConstraints(true, 2), CERT_SIGN),
    made("CN=zonal", 24, 100, basicConstraints(true, 1), CERT_SIGN),
    made("CN=instance", 6, 18, basicConstraints(true, 0), CERT_SIGN),
    made("CN=leaf", 1, 2, basicConstraints(false), LEAF_USAGE),
  ];
}

export interface Chain {
  readonly certificates: readonly Uint8Array[];
  readonly keys: readonly KeyPair[];
}

/** Keys are made once: what differs between cases is what is signed, not by whom. */
const keyRing: Promise<KeyPair[]> = Promise.all(recipes().map(() => newKeys()));
const spareKeys = newKeys();
const spki = async ({ publicKey }: KeyPair): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));

export type EditChain = (recipes: CertificateRecipe[]) => void;

/**
 * Certificates with an edit applied.
 *
 * @param isResigned whether the signatures are over what the edit left, or over what was there before
 */
export async function makeChain(edit: EditChain = () => undefined, isResigned = true): Promise<Chain> {
  const [list, unedited] = [recipes(), recipes()];
  edit(list);
  const ring = await keyRing;
  const keys = await Promise.all(list.map(async ({ keys: own }, index) => own ?? ring[index] ?? (await spareKeys)));
  const certificates = await Promise.all(
    list.map(async (recipe, index) => {
      const parts = await partsOf(list, index, keys);
      recipe.parts?.(parts);
      const before = isResigned || !unedited[index] ? parts : await partsOf(unedited, index, ring);
      const signer = recipe.signer ?? keys[Math.max(0, index - 1)];
      if (!signer) throw new TypeError("a key for each certificate");
      const signature = await sign(signer, tbsOf(before), recipe.hash);
      return parts.certificate(tbsOf(parts), parts.algorithm, parts.signature(signature));
    }),
  );
  return { certificates, keys };
}

async function partsOf(
  list: readonly CertificateRecipe[],
  index: number,
  keys: readonly KeyPair[],
): Promise<CertificateParts> {
  const [recipe, issuer, own] = [list[index], list[Math.max(0, index - 1)], keys[index]];
  if (!recipe || !issuer || !own) throw new TypeError("a recipe and a key for each certificate");
  const der = (value: string | Uint8Array): Uint8Array => (typeof value === "string" ? name(value) : value);
  return {
    ...ordinaryParts(),
    serial: integer(index + 1),
    issuer: der(recipe.issuer ?? issuer.subject),
    validity: sequence(time(recipe.notBefore), time(recipe.notAfter)),
    subject: der(recipe.subject),
    publicKey: await spki(own),
    extensions: [...recipe.extensions],
  };
}

export const PCR = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);

export async function instancePcr(): Promise<Uint8Array> {
  const measured = new Uint8Array([...new Uint8Array(48), ...utf8(INSTANCE)]);
  return new Uint8Array(await crypto.subtle.digest("SHA-384", measured));
}

export type PayloadFields = Map<Forged, Forged>;

export async function payloadFields(certificates: readonly Uint8Array[]): Promise<PayloadFields> {
  const pcrs = new Map<number, Uint8Array>([
    [0, PCR(1)],
    [1, PCR(2)],
    [2, PCR(3)],
    [4, await instancePcr()],
  ]);
  return new Map<Forged, Forged>([
    ["module_id", MODULE_ID],
    ["digest", "SHA384"],
    ["timestamp", BigInt(NOW.getTime() - 1_000)],
    ["pcrs", pcrs],
    ["certificate", certificates.at(-1) ?? null],
    ["cabundle", certificates.slice(0, -1)],
    ["public_key", utf8("key")],
    ["user_data", null],
    ["nonce", new Uint8Array(32).fill(9)],
  ]);
}

export interface Message {
  protected: Forged;
  unprotected: Forged;
  payload: Forged;
  /** What is signed instead of the message's own: parts of the Sig_structure. */
  signed: { context?: string; protected?: Uint8Array; aad?: Uint8Array; payload?: Uint8Array; hash?: Hash };
  /** Which key of the chain signs, default the leaf's; or another. */
  signer: number | KeyPair;
  signature: (signature: Uint8Array) => Forged;
}

export interface Edits {
  readonly chain?: EditChain;
  readonly certificates?: (certificates: Uint8Array[]) => Uint8Array[];
  readonly payload?: (fields: PayloadFields) => void;
  readonly payloadBytes?: (bytes: Uint8Array) => Uint8Array;
  readonly message?: (message: Message) => void;
  readonly bytes?: (document: Uint8Array) => Uint8Array;
}

const plainChain = makeChain();
const HEADER = fromHex("a1013822");

/**
 * A document with the edits applied.
 *
 * @param isResigned signed so that only the rule under test can refuse it; else every signature is the one from before
 */
export async function makeDocument(
  edits: Edits = {},
  isResigned = true,
): Promise<{ document: Uint8Array; root: Uint8Array }> {
  const plain = await plainChain;
  const chain = edits.chain ? await makeChain(edits.chain, isResigned) : plain;
  const certificates = edits.certificates?.([...chain.certificates]) ?? chain.certificates;
  const fields = await payloadFields(certificates);
  edits.payload?.(fields);
  const written = forgeIndefinite(fields);
  const payload = edits.payloadBytes?.(written) ?? written;
  const message: Message = {
    protected: HEADER,
    unprotected: new Map(),
    payload,
    signed: {},
    signer: -1,
    signature: (bytes) => bytes,
  };
  edits.message?.(message);
  const before = forgeIndefinite(await payloadFields(plain.certificates));
  const { context = "Signature1", aad = new Uint8Array(0), hash } = isResigned ? message.signed : {};
  const signed = encodeCbor([
    context,
    isResigned ? (message.signed.protected ?? bytesOr(message.protected, HEADER)) : HEADER,
    aad,
    isResigned ? (message.signed.payload ?? bytesOr(message.payload, payload)) : before,
  ]);
  const signer = typeof message.signer === "number" ? chain.keys.at(message.signer) : message.signer;
  const [root] = chain.certificates;
  if (!signer || !root) throw new TypeError("a chain has a root and keys");
  const signature = message.signature(await sign(signer, signed, hash));
  const document = forge([message.protected, message.unprotected, message.payload, signature]);
  return { document: edits.bytes?.(document) ?? document, root };
}

function bytesOr(value: Forged, otherwise: Uint8Array): Uint8Array {
  return value instanceof Uint8Array ? value : otherwise;
}

/** The policy that the baseline satisfies; its nonce is left to the caller. */
export function policyFor(root: Uint8Array): AttestationPolicy {
  return {
    kind: "nsm",
    roots: [dangerouslyTrustRoot(root)],
    images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
    nonce: "unchecked",
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
  };
}
