/**
 * Decides whether a SAML response was signed by a known identity provider, for AWS, for now.
 *
 *   1. read      base64 of UTF-8 XML without a document type; one Signature, over the root or over its one Assertion
 *   2. verify    XML-DSig under the provider's own certificates, never under those that the message brings
 *   3. re-read   only what was signed, in its canonical form: what stands around it is never looked at
 *   4. appraise  status, issuer, audience, recipient, times; then attributes
 *
 * The signature is xml-crypto's business. Encrypted assertions are refused.
 *
 * Source: SAML 2.0 Core §2.3, §2.4.1.2, §5; SAML 2.0 Profiles §4.1.4.2; IAM User Guide, "Configure SAML assertions".
 *
 * @module
 */
import { DOMParser, type Element } from "@xmldom/xmldom";
import { SignedXml } from "xml-crypto";
import type { SamlProviderRow } from "../directory-rows.ts";
import { AwsFault } from "../fault.ts";

export interface SamlIdentity {
  readonly issuer: string;
  readonly subject: string;
  /** `persistent`, `transient` or the whole format. */
  readonly subjectType: string;
  /** The sign-in address that the assertion was for. */
  readonly recipient: string;
  readonly attributes: ReadonlyMap<string, readonly string[]>;
  /** The earliest `SessionNotOnOrAfter`, in milliseconds since 1970; infinite if there is none. */
  readonly sessionEndsAtMs: number;
}

const SAML = "urn:oasis:names:tc:SAML:2.0:assertion";
const PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol";
const DSIG = "http://www.w3.org/2000/09/xmldsig#";
const SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const FORMAT = /^urn:oasis:names:tc:SAML:[12]\.[01]:nameid-format:/;

/** Exclusive and inclusive canonical XML without comments; RSA with SHA-256, SHA-384 or SHA-512. */
const ALGORITHM =
  /^http:\/\/www\.w3\.org\/(2001\/04\/xmldsig-more#rsa-sha(256|384|512)|2007\/05\/xmldsig-more#sha256-rsa-MGF1)$/;
const DIGEST = /^http:\/\/www\.w3\.org\/2001\/04\/(xmlenc#sha(256|512)|xmldsig-more#sha384)$/;

const RECIPIENT =
  /^https:\/\/(?:[a-z0-9-]+\.)?signin\.(?:aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com)\/(?:saml|saml\/acs\/[\w-]+)$/;
const AUDIENCES: ReadonlySet<string> = new Set([
  "urn:amazon:webservices",
  "urn:amazon:webservices:cn-north-1",
  "urn:amazon:webservices:govcloud",
]);
const FIVE_MINUTES_MS = 300_000;

/** @throws {AwsFault} `InvalidIdentityToken`, `ExpiredTokenException`, `IDPRejectedClaim` */
export function verifyAssertion(encoded: string, provider: SamlProviderRow, now: Date): SamlIdentity {
  const signed = signedElement(decode(encoded), provider);
  const assertion = assertionIn(signed);
  const issuer = textOf(only(assertion, SAML, "Issuer"));
  if (issuer !== provider.issuer) throw invalid("Issuer not present in specified provider");
  const issuedAt = instant(assertion, "IssueInstant");
  const nowMs = now.getTime();
  if (nowMs - issuedAt > FIVE_MINUTES_MS) throw expired("Token must be redeemed within 5 minutes of issuance");
  if (issuedAt - nowMs > FIVE_MINUTES_MS) throw invalid("Assertion is issued in the future");
  const subject = only(assertion, SAML, "Subject");
  const recipient = recipientOf(subject, nowMs);
  assertConditions(only(assertion, SAML, "Conditions"), recipient, nowMs);
  const nameId = only(subject, SAML, "NameID");
  return {
    ...{ issuer, recipient, subject: textOf(nameId), attributes: attributesOf(assertion) },
    sessionEndsAtMs: sessionEndOf(assertion, nowMs),
    subjectType: (nameId.getAttribute("Format") ?? "").replace(FORMAT, ""),
  };
}

function decode(encoded: string): string {
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded.replaceAll(/\s/g, "")) throw invalid("Invalid base64 SAMLResponse");
  const text = bytes.toString("utf8");
  // No entities, so nothing expands and nothing is fetched.
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw invalid("Invalid SAMLResponse: a document type is not accepted");
  return text;
}

function signedElement(text: string, { certificates }: SamlProviderRow): Element {
  const root = parse(text);
  // What is read is what was signed, so a second one could not harm; nor has it a reason to be there.
  const assertions = root.localName === "Assertion" ? [root] : [...root.getElementsByTagNameNS(SAML, "Assertion")];
  if (assertions.length !== 1) throw invalid("Invalid SAMLResponse: one Assertion is needed");
  const signatures = [...root.getElementsByTagNameNS(DSIG, "Signature")];
  const [signature] = signatures;
  const parent = signature?.parentNode;
  const isInPlace = parent === root || (parent?.localName === "Assertion" && parent.parentNode === root);
  if (!signature || signatures.length > 1 || !isInPlace) throw invalid("Response signature invalid");
  assertAlgorithms(signature);
  const verified = certificates.map((certificate) => verifiedText(text, signature.toString(), certificate));
  const found = verified.find((each) => each !== undefined);
  if (found === undefined) throw invalid("Response signature invalid");
  const element = parse(found);
  const isParent =
    element.localName === parent?.localName && element.getAttribute("ID") === (parent as Element).getAttribute("ID");
  if (!isParent) throw invalid("Response signature invalid");
  return element;
}

function assertAlgorithms(signature: Element): void {
  const uses = (name: string, allowed: RegExp): boolean =>
    [...signature.getElementsByTagNameNS(DSIG, name)].every((element) =>
      allowed.test(element.getAttribute("Algorithm") ?? ""),
    );
  const isOneReference = signature.getElementsByTagNameNS(DSIG, "Reference").length === 1;
  if (!uses("SignatureMethod", ALGORITHM) || !uses("DigestMethod", DIGEST) || !isOneReference)
    throw invalid("Response signature invalid");
}

/** The canonical form of what the certificate's key signed. */
function verifiedText(text: string, signature: string, certificate: string): string | undefined {
  const verifier = new SignedXml({ publicCert: certificate, getCertFromKeyInfo: () => null });
  try {
    verifier.loadSignature(signature);
    if (!verifier.checkSignature(text)) return undefined;
  } catch (cause) {
    // The library refuses by throwing as well as by answering; both are the same answer here.
    if (!(cause instanceof Error)) throw cause;
    return undefined;
  }
  const [signed, ...others] = verifier.getSignedReferences();
  return others.length === 0 ? signed : undefined;
}

function assertionIn(signed: Element): Element {
  if (signed.localName === "Assertion" && signed.namespaceURI === SAML) return signed;
  if (signed.localName !== "Response" || signed.namespaceURI !== PROTOCOL) throw invalid("Invalid SAMLResponse");
  const status = only(only(signed, PROTOCOL, "Status"), PROTOCOL, "StatusCode").getAttribute("Value");
  if (status !== SUCCESS) throw new AwsFault("IDPRejectedClaim", "The identity provider reported an error", 403);
  return only(signed, SAML, "Assertion");
}

function recipientOf(subject: Element, nowMs: number): string {
  const confirmation = only(subject, SAML, "SubjectConfirmation");
  const data = only(confirmation, SAML, "SubjectConfirmationData");
  const recipient = data.getAttribute("Recipient") ?? "";
  if (confirmation.getAttribute("Method") !== BEARER || !RECIPIENT.test(recipient))
    throw invalid("Response does not contain the required subject confirmation");
  if (nowMs >= instant(data, "NotOnOrAfter")) throw expired("Assertion is expired");
  return recipient;
}

function assertConditions(conditions: Element, recipient: string, nowMs: number): void {
  if (conditions.hasAttribute("NotBefore") && instant(conditions, "NotBefore") - nowMs > FIVE_MINUTES_MS)
    throw invalid("Assertion is not yet valid");
  if (nowMs >= instant(conditions, "NotOnOrAfter")) throw expired("Assertion is expired");
  const audiences = children(only(conditions, SAML, "AudienceRestriction"), SAML, "Audience").map(textOf);
  if (!audiences.some((audience) => AUDIENCES.has(audience) || audience === recipient))
    throw invalid("Audience in the response is not AWS");
}

function sessionEndOf(assertion: Element, nowMs: number): number {
  const statements = children(assertion, SAML, "AuthnStatement");
  const ends = statements.filter((statement) => statement.hasAttribute("SessionNotOnOrAfter"));
  const endsAtMs = Math.min(...ends.map((statement) => instant(statement, "SessionNotOnOrAfter")));
  if (nowMs >= endsAtMs) throw expired("The identity provider's session has ended");
  return endsAtMs;
}

function attributesOf(assertion: Element): ReadonlyMap<string, readonly string[]> {
  const attributes = new Map<string, readonly string[]>();
  for (const statement of children(assertion, SAML, "AttributeStatement"))
    for (const attribute of children(statement, SAML, "Attribute")) {
      const name = attribute.getAttribute("Name") ?? "";
      if (attributes.has(name)) throw invalid("An attribute stands twice");
      attributes.set(name, children(attribute, SAML, "AttributeValue").map(textOf));
    }
  return attributes;
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
  throw invalid("Invalid SAMLResponse: not XML");
}

function children(parent: Element, namespace: string, name: string): readonly Element[] {
  return [...parent.childNodes].filter(
    (node): node is Element => node.localName === name && node.namespaceURI === namespace,
  );
}

function only(parent: Element, namespace: string, name: string): Element {
  const [element, ...others] = children(parent, namespace, name);
  if (!element || others.length > 0) throw invalid(`Invalid SAMLResponse: one ${name} is needed`);
  return element;
}

function textOf(element: Element): string {
  return (element.textContent ?? "").trim();
}

function instant(element: Element, attribute: string): number {
  const text = element.getAttribute(attribute) ?? "";
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(`Invalid SAMLResponse: ${attribute} is no time`);
  return time;
}

function invalid(message: string): AwsFault {
  return new AwsFault("InvalidIdentityToken", message);
}

function expired(message: string): AwsFault {
  return new AwsFault("ExpiredTokenException", message);
}
