/**
 * Gives the element of a SAML response that its identity provider signed, read anew from its canonical form.
 *
 *   1. bound    no more XML than a response needs                                         xml-bounds.ts
 *   2. place    one Assertion; one Signature, in the root or in that Assertion
 *   3. form     one of each part, no Object; algorithms of the lists below, before anything is computed
 *   4. verify   XML-DSig under one of the provider's own certificates, never under those that the message brings
 *   5. re-read  only what was signed: what stands around it is never looked at
 *
 * The digest and the canonical form are xml-crypto's business. It works once, however many certificates there are: it is
 * lent the step that compares the signature.
 *
 * Source: SAML 2.0 Core §5; XML Signature 1.1 §3.2.
 *
 * @module
 */
import { constants, createHash, type KeyObject, verify, X509Certificate } from "node:crypto";
import { DOMParser, type Element } from "@xmldom/xmldom";
import { type HashAlgorithm, type SignatureAlgorithm, SignedXml } from "xml-crypto";
import type { AwsFault } from "../fault.ts";
import { invalidToken } from "./model.ts";
import { boundedXml } from "./xml-bounds.ts";

const SAML = "urn:oasis:names:tc:SAML:2.0:assertion";
const DSIG = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED = `${DSIG}enveloped-signature`;
/** Without comments: there are none. */
const CANONICAL = [
  "http://www.w3.org/2001/10/xml-exc-c14n#",
  "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
] as const;

interface Scheme {
  readonly hash: string;
  readonly padding: number;
}
const { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING } = constants;
const MORE = "http://www.w3.org/2001/04/xmldsig-more#";
const SCHEMES: Readonly<Record<string, Scheme>> = {
  [`${MORE}rsa-sha256`]: { hash: "sha256", padding: RSA_PKCS1_PADDING },
  [`${MORE}rsa-sha384`]: { hash: "sha384", padding: RSA_PKCS1_PADDING },
  [`${MORE}rsa-sha512`]: { hash: "sha512", padding: RSA_PKCS1_PADDING },
  "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1": { hash: "sha256", padding: RSA_PKCS1_PSS_PADDING },
};
const DIGESTS: Readonly<Record<string, string>> = {
  "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
  [`${MORE}sha384`]: "sha384",
  "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
};

/** Parts of a Signature, by local name: how many there may be, and what their `Algorithm` may be. */
const FORM: Readonly<Record<string, { readonly min: number; readonly max: number; readonly of?: readonly string[] }>> =
  {
    SignedInfo: { min: 1, max: 1 },
    CanonicalizationMethod: { min: 1, max: 1, of: CANONICAL },
    SignatureMethod: { min: 1, max: 1, of: Object.keys(SCHEMES) },
    Reference: { min: 1, max: 1 },
    Transforms: { min: 0, max: 1 },
    Transform: { min: 0, max: 2, of: [ENVELOPED, ...CANONICAL] },
    DigestMethod: { min: 1, max: 1, of: Object.keys(DIGESTS) },
    DigestValue: { min: 1, max: 1 },
    SignatureValue: { min: 1, max: 1 },
    InclusiveNamespaces: { min: 0, max: 2 },
    Object: { min: 0, max: 0 },
  };
/** Beyond it a provider's certificates are not tried. */
export const CERTIFICATES_MAX = 10;
const PREFIX_LIST_MAX = 256;

/** `certificates` are PEM. @throws {AwsFault} `InvalidIdentityToken` */
export function signedElement(text: string, certificates: readonly string[]): Element {
  const xml = bounded(text);
  const root = parse(xml);
  // What is read is what was signed, so a second one could not harm; nor has it a reason to be there.
  const assertions = root.localName === "Assertion" ? [root] : descendants(root, "Assertion", SAML);
  if (assertions.length !== 1) throw invalidToken("Invalid SAMLResponse: one Assertion is needed");
  const [signature, ...others] = descendants(root, "Signature", DSIG);
  const parent = signature?.parentNode;
  const isInPlace = parent === root || (parent?.localName === "Assertion" && parent.parentNode === root);
  if (!signature || others.length > 0 || !isInPlace || !hasForm(signature, root)) throw notSigned();
  const found = verifiedText(xml, signature.toString(), certificates.slice(0, CERTIFICATES_MAX));
  if (found === undefined) throw notSigned();
  const element = parse(found);
  const isParent =
    element.localName === parent?.localName && element.getAttribute("ID") === (parent as Element).getAttribute("ID");
  if (!isParent) throw notSigned();
  return element;
}

function bounded(text: string): string {
  try {
    return boundedXml(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw invalidToken(`Invalid SAMLResponse: ${cause.message}`);
  }
}

/** Whatever the namespace: xml-crypto looks for some parts by their local name. */
function hasForm(signature: Element, root: Element): boolean {
  // It takes the namespaces around the first SignedInfo of the whole text.
  const [signedInfo, ...others] = descendants(root, "SignedInfo");
  if (!signedInfo || others.length > 0 || signedInfo.parentNode !== signature) return false;
  if (descendants(signedInfo, "*").some(({ localName }) => !Object.hasOwn(FORM, localName ?? ""))) return false;
  return Object.entries(FORM).every(([name, { min, max, of }]) => {
    const parts = descendants(signature, name);
    const isKnown = parts.every((part) => !of || of.includes(part.getAttribute("Algorithm") ?? ""));
    const isShort = parts.every((part) => (part.getAttribute("PrefixList") ?? "").length <= PREFIX_LIST_MAX);
    return parts.length >= min && parts.length <= max && isKnown && isShort;
  });
}

/** The canonical form of what the key of one of the certificates signed. */
function verifiedText(xml: string, signature: string, certificates: readonly string[]): string | undefined {
  const keys = certificates.flatMap(keyOf);
  const [some] = keys;
  if (!some) return undefined;
  // `publicCert` has to be there; the algorithms below have the keys.
  const verifier = new SignedXml({ publicCert: some, getCertFromKeyInfo: () => null });
  verifier.SignatureAlgorithms = mapped(SCHEMES, (name, scheme) => comparing(name, scheme, keys));
  verifier.HashAlgorithms = mapped(DIGESTS, digesting);
  try {
    verifier.loadSignature(signature);
    if (!verifier.checkSignature(xml)) return undefined;
  } catch (cause) {
    // The library refuses by throwing as well as by answering; both are the same answer here.
    if (!(cause instanceof Error)) throw cause;
    return undefined;
  }
  const [signed, ...others] = verifier.getSignedReferences();
  return others.length === 0 ? signed : undefined;
}

/** Nothing for a key that is not RSA: another certificate may have one. */
function keyOf(certificate: string): readonly KeyObject[] {
  const { publicKey } = new X509Certificate(certificate);
  return publicKey.asymmetricKeyType === "rsa" ? [publicKey] : [];
}

function comparing(name: string, { hash, padding }: Scheme, keys: readonly KeyObject[]): new () => SignatureAlgorithm {
  return class {
    getAlgorithmName = (): string => name;
    verifySignature = (material: string, _key: unknown, value: string): boolean => {
      const signature = Buffer.from(value, "base64");
      return keys.some((key) => verify(hash, Buffer.from(material), { key, padding }, signature));
    };
    getSignature = (): never => {
      throw new TypeError("this side signs nothing");
    };
  };
}

function digesting(name: string, hash: string): new () => HashAlgorithm {
  return class {
    getAlgorithmName = (): string => name;
    getHash = (xml: string): string => createHash(hash).update(xml).digest("base64");
  };
}

function mapped<Given, Made>(
  table: Readonly<Record<string, Given>>,
  make: (name: string, given: Given) => Made,
): Record<string, Made> {
  return Object.fromEntries(Object.entries(table).map(([name, given]) => [name, make(name, given)]));
}

function descendants(element: Element, name: string, namespace = "*"): readonly Element[] {
  return [...element.getElementsByTagNameNS(namespace, name)];
}

function parse(text: string): Element {
  const failures: string[] = [];
  const parser = new DOMParser({ onError: (_level, message) => void failures.push(message) });
  try {
    const root = parser.parseFromString(text, "text/xml").documentElement;
    if (root && failures.length === 0) return root;
  } catch (cause) {
    // Whatever the parser throws says the same: this is no XML.
    if (!(cause instanceof Error)) throw cause;
  }
  throw invalidToken("Invalid SAMLResponse: not XML");
}

function notSigned(): AwsFault {
  return invalidToken("Response signature invalid");
}
