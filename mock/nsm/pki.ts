/**
 * Issues certificates the way AWS does for Nitro Enclaves (`profile.ts`), under a root made for one run or handed in.
 *
 * The names are AWS's, the keys are not: a verifier tells the two apart by the root's bytes, as it must. Private keys
 * can not be exported and never leave this folder, unless a leaf's is asked for by a long name. An authority is renewed
 * when it would end before a new leaf; the root stays.
 *
 * @module
 */
import "reflect-metadata";
import type { webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  CRLDistributionPointsExtension,
  type Extension,
  KeyUsagesExtension,
  type Name,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { concat, fromHex, toHex } from "../../shared/bytes.ts";
import {
  CA_USAGES,
  LEAF_LIFE_MS,
  LEAF_USAGES,
  type Level,
  leafSubject,
  levelsOf,
  ROOT_NOT_AFTER,
  ROOT_NOT_BEFORE,
  rootSubject,
} from "./profile.ts";

export interface PkiOptions {
  readonly region: string;
  readonly instanceId: string;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
  /** Default: one that is made now and forgotten with this object. */
  readonly root?: MockRoot | undefined;
  /** For a device that signs in another process (QEMU's): its key then leaves this one. Default false. */
  readonly dangerouslyExportLeafKeys?: boolean;
}

/** A root that outlives a run, so that an image can name it. Whoever has it can write any document. */
export interface MockRoot {
  /** DER. */
  readonly certificate: Uint8Array;
  /** PKCS #8, P-384. */
  readonly privateKey: Uint8Array;
}

/** A leaf certificate, the key it vouches for, and its issuers. */
export interface IssuedLeaf {
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER, root first. */
  readonly cabundle: readonly Uint8Array[];
  readonly signingKey: webcrypto.CryptoKey;
  readonly notAfter: Date;
}

export interface MockPki {
  /** DER. */
  readonly rootCertificate: Uint8Array;
  /** A new key and its certificate, valid from this second. */
  issueLeaf(moduleId: string): Promise<IssuedLeaf>;
}

const CURVE = { name: "ECDSA", namedCurve: "P-384" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-384" } as const;

interface Authority {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

export async function createPki(options: PkiOptions): Promise<MockPki> {
  const { region, instanceId, now, randomBytes, dangerouslyExportLeafKeys = false } = options;
  const root = options.root ? await readRoot(options.root) : await createRoot(randomBytes);
  const authorities = new Authorities(root, levelsOf(region, instanceId), randomBytes);
  return {
    rootCertificate: der(root.certificate),
    async issueLeaf(moduleId) {
      const notBefore = wholeSecond(now());
      const notAfter = new Date(notBefore.getTime() + LEAF_LIFE_MS);
      const chain = await authorities.covering(notBefore, notAfter);
      const keys = await generateKeys(dangerouslyExportLeafKeys);
      const certificate = await X509CertificateGenerator.create({
        ...signedBy(chain.at(-1) ?? root),
        serialNumber: leafSerial(moduleId, notBefore),
        subject: leafSubject(moduleId, region),
        notBefore,
        notAfter,
        publicKey: keys.publicKey,
        extensions: [new BasicConstraintsExtension(false, undefined, true), new KeyUsagesExtension(LEAF_USAGES, false)],
      });
      const cabundle = chain.map((authority) => der(authority.certificate));
      return { certificate: der(certificate), cabundle, signingKey: keys.privateKey, notAfter };
    },
  };
}

/** The authorities between root and leaf. */
class Authorities {
  readonly #root: Authority;
  readonly #levels: readonly Level[];
  readonly #randomBytes: (length: number) => Uint8Array;
  #chain: readonly Authority[] = [];

  constructor(root: Authority, levels: readonly Level[], randomBytes: (length: number) => Uint8Array) {
    this.#root = root;
    this.#levels = levels;
    this.#randomBytes = randomBytes;
  }

  /** The chain, root first, in which every certificate is valid from `notBefore` to `notAfter`. */
  async covering(notBefore: Date, notAfter: Date): Promise<readonly Authority[]> {
    const chain = [this.#root];
    let issuer = this.#root;
    for (const [index, level] of this.#levels.entries()) {
      const known = this.#chain[index + 1];
      const sameIssuer = this.#chain[index] === issuer;
      issuer =
        known && sameIssuer && covers(known, notBefore, notAfter) ? known : await this.#issue(level, issuer, notBefore);
      chain.push(issuer);
    }
    this.#chain = chain;
    return chain;
  }

  async #issue(level: Level, issuer: Authority, now: Date): Promise<Authority> {
    const keys = await generateKeys();
    const notBefore = new Date(now.getTime() - level.agedMs);
    const extensions: Extension[] = [
      new BasicConstraintsExtension(true, level.pathLength, true),
      await AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      new KeyUsagesExtension(level.usages, true),
    ];
    if (level.crl) {
      const address = `http://crl.mock.invalid/crl/${toHex(this.#randomBytes(16))}.crl`;
      extensions.push(new CRLDistributionPointsExtension([address]));
    }
    const certificate = await X509CertificateGenerator.create({
      ...signedBy(issuer),
      serialNumber: serial(this.#randomBytes),
      subject: level.subject(toHex(this.#randomBytes(8))),
      notBefore,
      notAfter: new Date(notBefore.getTime() + level.lifeMs),
      publicKey: keys.publicKey,
      extensions,
    });
    return { certificate, keys };
  }
}

/** Makes a root to keep. */
export async function createMockRoot(randomBytes: (length: number) => Uint8Array): Promise<MockRoot> {
  const { certificate, keys } = await createRoot(randomBytes, true);
  const privateKey = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  return { certificate: der(certificate), privateKey };
}

async function readRoot({ certificate, privateKey }: MockRoot): Promise<Authority> {
  const root = new X509Certificate(Uint8Array.from(certificate));
  return {
    certificate: root,
    keys: {
      publicKey: await root.publicKey.export(CURVE, ["verify"]),
      privateKey: await crypto.subtle.importKey("pkcs8", Uint8Array.from(privateKey), CURVE, false, ["sign"]),
    },
  };
}

async function createRoot(randomBytes: (length: number) => Uint8Array, exportable = false): Promise<Authority> {
  const keys = await generateKeys(exportable);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(randomBytes),
    name: rootSubject(),
    notBefore: ROOT_NOT_BEFORE,
    notAfter: ROOT_NOT_AFTER,
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      new KeyUsagesExtension(CA_USAGES, true),
    ],
  });
  return { certificate, keys };
}

interface SignedBy {
  readonly issuer: Name;
  readonly signingKey: webcrypto.CryptoKey;
  readonly signingAlgorithm: typeof SIGNING;
}

function signedBy(issuer: Authority): SignedBy {
  return {
    issuer: issuer.certificate.subjectName,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: SIGNING,
  };
}

function covers({ certificate }: Authority, notBefore: Date, notAfter: Date): boolean {
  return certificate.notBefore <= notBefore && certificate.notAfter >= notAfter;
}

function generateKeys(exportable = false): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(CURVE, exportable, ["sign", "verify"]);
}

function der(certificate: X509Certificate): Uint8Array {
  return new Uint8Array(certificate.rawData);
}

function wholeSecond(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}

/** 16 bytes; the first bit is clear and the next set, so that the integer is positive and of full length. */
function serial(randomBytes: (length: number) => Uint8Array): string {
  const bytes = new Uint8Array(randomBytes(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return toHex(bytes);
}

/** As AWS numbers leaves: the enclave's hex id, four zero bytes, the second of issue. */
function leafSerial(moduleId: string, notBefore: Date): string {
  const issued = new Uint8Array(8);
  new DataView(issued.buffer).setUint32(4, notBefore.getTime() / 1000);
  return toHex(concat(fromHex(moduleId.slice(-16)), issued));
}
