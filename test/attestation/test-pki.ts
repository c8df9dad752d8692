/**
 * A test PKI shaped like AWS's, in which one thing at a time can be wrong and everything is signed anew.
 *
 * @module
 */
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { fromHex, utf8 } from "../../shared/bytes.ts";
import { type CborValue, encodeCbor, IndefiniteMap } from "../../shared/cbor/encode.ts";

export const NOW = new Date("2026-06-01T12:00:00Z");
export const INSTANCE = "i-0123456789abcdef0";
export const MODULE_ID = `${INSTANCE}-enc0123456789abcdef`;

const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const SHA384 = { name: "ECDSA", hash: "SHA-384" } as const;
const HOUR = 3_600_000;

type Keys = Awaited<ReturnType<typeof newKeys>>;

async function newKeys(namedCurve = "P-384") {
  return (await crypto.subtle.generateKey({ ...P384, namedCurve }, true, ["sign", "verify"])) as CryptoKeyPairLike;
}
type CryptoKeyPairLike = Extract<Awaited<ReturnType<typeof crypto.subtle.generateKey>>, { publicKey: unknown }>;

/** How one certificate is made; every field has the genuine value unless an edit says otherwise. */
export interface CertificateRecipe {
  subject: string;
  issuer?: string;
  notBefore: Date;
  notAfter: Date;
  ca: boolean;
  pathLength?: number;
  usages: number;
  hash?: "SHA-256" | "SHA-384";
  curve?: string;
  extensions?: Extension[];
}

const CERT_SIGN = KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature;
const LEAF = KeyUsageFlags.digitalSignature | KeyUsageFlags.nonRepudiation;

export function recipes(): CertificateRecipe[] {
  const at = (before: number, after: number) => ({
    notBefore: new Date(NOW.getTime() - before * HOUR),
    notAfter: new Date(NOW.getTime() + after * HOUR),
  });
  return [
    { subject: "CN=root", ca: true, usages: CERT_SIGN, ...at(50_000, 50_000) },
    { subject: "CN=regional", ca: true, pathLength: 2, usages: CERT_SIGN, ...at(48, 400) },
    { subject: "CN=zonal", ca: true, pathLength: 1, usages: CERT_SIGN, ...at(24, 100) },
    { subject: "CN=instance", ca: true, pathLength: 0, usages: CERT_SIGN, ...at(6, 18) },
    { subject: "CN=leaf", ca: false, usages: LEAF, ...at(1, 2) },
  ];
}

export interface Chain {
  readonly certificates: readonly Uint8Array[];
  readonly keys: readonly CryptoKeyPairLike[];
}

/** Keys are made once: what differs between cases is what is signed, not by whom. */
const keyRing: Promise<CryptoKeyPairLike[]> = Promise.all(recipes().map(() => newKeys()));

export async function makeChain(edit: (recipe: CertificateRecipe[]) => void = () => undefined): Promise<Chain> {
  const list = recipes();
  edit(list);
  const ring = await keyRing;
  const keys = await Promise.all(list.map(({ curve }, index) => (curve ? newKeys(curve) : (ring[index] ?? newKeys()))));
  const certificates = await Promise.all(
    list.map(async (recipe, index) => {
      const issuer = list[Math.max(0, index - 1)] ?? recipe;
      const signer = keys[Math.max(0, index - 1)];
      const own = keys[index];
      if (!signer || !own) throw new TypeError("a key for each certificate");
      const certificate = await X509CertificateGenerator.create({
        serialNumber: `0${index + 1}`,
        subject: recipe.subject,
        issuer: recipe.issuer ?? issuer.subject,
        notBefore: recipe.notBefore,
        notAfter: recipe.notAfter,
        publicKey: own.publicKey,
        signingKey: signer.privateKey,
        signingAlgorithm: { name: "ECDSA", hash: recipe.hash ?? "SHA-384" },
        extensions: recipe.extensions ?? [
          new BasicConstraintsExtension(recipe.ca, recipe.pathLength, true),
          new KeyUsagesExtension(recipe.usages, recipe.ca),
        ],
      });
      return new Uint8Array(certificate.rawData);
    }),
  );
  return { certificates, keys };
}

export const PCR = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);

export async function instancePcr(): Promise<Uint8Array> {
  const measured = new Uint8Array([...new Uint8Array(48), ...utf8(INSTANCE)]);
  return new Uint8Array(await crypto.subtle.digest("SHA-384", measured));
}

export type PayloadFields = Map<string | number, CborValue>;

export async function payloadFields({ certificates }: Chain): Promise<PayloadFields> {
  const pcrs = new Map<number, Uint8Array>([
    [0, PCR(1)],
    [1, PCR(2)],
    [2, PCR(3)],
    [4, await instancePcr()],
  ]);
  return new Map<string | number, CborValue>([
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
  protected: CborValue;
  unprotected: CborValue;
  payload: Uint8Array;
  /** Signs these bytes instead of the message's own. */
  context?: string;
  /** Which key of the chain signs; default the leaf's. */
  signer?: number;
}

export interface Edits {
  readonly chain?: (recipes: CertificateRecipe[]) => void;
  readonly certificates?: (certificates: Uint8Array[]) => Uint8Array[];
  readonly payload?: (fields: PayloadFields) => void;
  readonly payloadBytes?: (bytes: Uint8Array) => Uint8Array;
  readonly message?: (message: Message) => void;
  readonly bytes?: (document: Uint8Array) => Uint8Array;
}

/** A document with the edits applied, signed so that only the rule under test can refuse it. */
export async function makeDocument(edits: Edits = {}): Promise<{ document: Uint8Array; root: Uint8Array }> {
  const chain = await makeChain(edits.chain);
  const certificates = edits.certificates?.([...chain.certificates]) ?? chain.certificates;
  const fields = await payloadFields({ ...chain, certificates });
  edits.payload?.(fields);
  const payload = encodeCbor(new IndefiniteMap(fields));
  const message: Message = {
    protected: fromHex("a1013822"),
    unprotected: new Map(),
    payload: edits.payloadBytes?.(payload) ?? payload,
  };
  edits.message?.(message);
  const signer: Keys | undefined = chain.keys.at(message.signer ?? -1);
  if (!signer) throw new TypeError("a key signs");
  const signed = encodeCbor([message.context ?? "Signature1", message.protected, new Uint8Array(0), message.payload]);
  const signature = new Uint8Array(await crypto.subtle.sign(SHA384, signer.privateKey, Uint8Array.from(signed)));
  const document = encodeCbor([message.protected, message.unprotected, message.payload, signature]);
  const [root] = chain.certificates;
  if (!root) throw new TypeError("a chain has a root");
  return { document: edits.bytes?.(document) ?? document, root };
}
