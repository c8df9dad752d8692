/**
 * Decides whether a SAML response was signed by a known identity provider, for AWS, for now.
 *
 *   1. read      base64 of UTF-8
 *   2. verify    what the provider signed, and nothing else of the text              saml-signature.ts
 *   3. appraise  status, issuer, audience, recipient, times; then attributes
 *   4. spend     an assertion that is for one use is not taken twice
 *
 * Encrypted assertions are refused, and conditions that are not understood.
 *
 * Source: SAML 2.0 Core §2.3, §2.4.1.2, §2.5.1; SAML 2.0 Profiles §4.1.4.2; IAM User Guide, "Configure SAML assertions".
 *
 * @module
 */
import type { Element } from "@xmldom/xmldom";
import type { SamlProviderRow } from "../directory-rows.ts";
import { AwsFault } from "../fault.ts";
import { invalidToken as invalid } from "./model.ts";
import { signedElement } from "./saml-signature.ts";
import type { SpentProofs } from "./spent-proofs.ts";

export interface SamlIdentity {
  readonly assertionId: string;
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
const SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const FORMAT = /^urn:oasis:names:tc:SAML:[12]\.[01]:nameid-format:/;

const RECIPIENT =
  /^https:\/\/(?:[a-z0-9-]+\.)?signin\.(?:aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com)\/(?:saml|saml\/acs\/[\w-]+)$/;
const AUDIENCES: ReadonlySet<string> = new Set([
  "urn:amazon:webservices",
  "urn:amazon:webservices:cn-north-1",
  "urn:amazon:webservices:govcloud",
]);
/** What is understood under `Conditions`; the last binds whoever would issue assertions on the strength of this one. */
const CONDITIONS: ReadonlySet<string> = new Set(["AudienceRestriction", "OneTimeUse", "ProxyRestriction"]);
const ELEMENT_NODE = 1;
const FIVE_MINUTES_MS = 300_000;
const utf8 = new TextDecoder("utf-8", { fatal: true });

export interface AssertionChecks {
  readonly now: Date;
  readonly spent: SpentProofs;
}

/** @throws {AwsFault} `InvalidIdentityToken`, `ExpiredTokenException`, `IDPRejectedClaim` */
export function verifyAssertion(
  encoded: string,
  provider: SamlProviderRow,
  { now, spent }: AssertionChecks,
): SamlIdentity {
  const assertion = assertionIn(signedElement(decode(encoded), provider.certificates));
  const issuer = textOf(only(assertion, SAML, "Issuer"));
  if (issuer !== provider.issuer) throw invalid("Issuer not present in specified provider");
  const assertionId = assertion.getAttribute("ID") ?? "";
  const issuedAt = instant(assertion, "IssueInstant");
  const nowMs = now.getTime();
  if (nowMs - issuedAt > FIVE_MINUTES_MS) throw expired("Token must be redeemed within 5 minutes of issuance");
  if (issuedAt - nowMs > FIVE_MINUTES_MS) throw invalid("Assertion is issued in the future");
  const subject = only(assertion, SAML, "Subject");
  const recipient = recipientOf(subject, nowMs);
  const conditions = only(assertion, SAML, "Conditions");
  assertConditions(conditions, recipient, nowMs);
  const nameId = only(subject, SAML, "NameID");
  const identity = {
    ...{ assertionId, issuer, recipient, subject: textOf(nameId), attributes: attributesOf(assertion) },
    sessionEndsAtMs: sessionEndOf(assertion, nowMs),
    subjectType: (nameId.getAttribute("Format") ?? "").replace(FORMAT, ""),
  };
  // At its last moment it is still taken.
  const times = { untilMs: issuedAt + FIVE_MINUTES_MS + 1, nowMs };
  if (isForOneUse(conditions) && !spent.spend(`saml ${provider.arn} ${assertionId}`, times))
    throw invalid("Assertion is for one use and was used");
  return identity;
}

function decode(encoded: string): string {
  const bytes = Buffer.from(encoded, "base64");
  if (bytes.toString("base64") !== encoded.replaceAll(/\s/g, "")) throw invalid("Invalid base64 SAMLResponse");
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw invalid("Invalid SAMLResponse: not UTF-8");
  }
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
  const isKnown = [...conditions.childNodes].every(
    ({ nodeType, namespaceURI, localName }) =>
      nodeType !== ELEMENT_NODE || (namespaceURI === SAML && CONDITIONS.has(localName ?? "")),
  );
  if (!isKnown) throw invalid("Assertion has a condition that is not understood");
  const audiences = children(only(conditions, SAML, "AudienceRestriction"), SAML, "Audience").map(textOf);
  if (!audiences.some((audience) => AUDIENCES.has(audience) || audience === recipient))
    throw invalid("Audience in the response is not AWS");
}

function isForOneUse(conditions: Element): boolean {
  return children(conditions, SAML, "OneTimeUse").length > 0;
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

function expired(message: string): AwsFault {
  return new AwsFault("ExpiredTokenException", message);
}
