/** An identity provider made here, whose assertions AssumeRoleWithSAML takes; and how to make each of them wrong. */
import "reflect-metadata";
import { type BinaryLike, createHash, createSign, type KeyLike, webcrypto } from "node:crypto";
import { AssumeRoleWithSAMLCommand, type AssumeRoleWithSAMLCommandOutput } from "@aws-sdk/client-sts";
import { X509CertificateGenerator } from "@peculiar/x509";
import { expect } from "vitest";
import { SignedXml } from "xml-crypto";
import type { MockAccount } from "../../mock/aws/accounts.ts";
import { ACCOUNT, allow, type Bed, NOW, outcome, trust } from "./door-bed.ts";

export const ISSUER = "https://idp.example.com/saml";
export const PROVIDER = `arn:aws:iam::${ACCOUNT}:saml-provider/corp`;
export const ROLE = `arn:aws:iam::${ACCOUNT}:role/staff`;
export const RECIPIENT = "https://signin.aws.amazon.com/saml";
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2_048,
};

export interface Signer {
  readonly privateKey: string;
  readonly certificate: string;
}

export async function makeSigner(): Promise<Signer> {
  const keys = await webcrypto.subtle.generateKey(RSA, true, ["sign", "verify"]);
  const [notBefore, notAfter] = [new Date("2026-01-01"), new Date("2027-01-01")];
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=idp",
    keys,
    notBefore,
    notAfter,
    signingAlgorithm: RSA,
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`,
    certificate: certificate.toString("pem"),
  };
}

/** A role for all of the provider's users and one for carol; `certificates` is what the provider is known by. */
export function samlAccount(certificates: readonly string[]): MockAccount {
  const actions = ["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"];
  const role = (name: string, condition: object) => ({
    ...{ type: "role" as const, name, identityPolicies: [allow("kms:*")], credentials: [] },
    trustPolicy: trust({ Federated: PROVIDER }, actions, { Condition: condition }),
  });
  return {
    accountId: ACCOUNT,
    principals: [
      role("staff", { StringEquals: { "saml:aud": RECIPIENT } }),
      role("only-carol", { StringEquals: { "saml:sub": "carol", "saml:sub_type": "persistent" } }),
    ],
    samlProviders: [{ name: "corp", issuer: ISSUER, certificates }],
  };
}

/** Seconds after `NOW`. */
export const at = (seconds: number): string => new Date(NOW.getTime() + seconds * 1000).toISOString();

export interface Parts {
  readonly issuer?: string;
  readonly issuedAt?: string;
  readonly notOnOrAfter?: string;
  readonly confirmedUntil?: string;
  readonly audience?: string;
  readonly recipient?: string;
  readonly method?: string;
  readonly status?: string;
  readonly subject?: string;
  readonly roles?: readonly string[];
  readonly sessionName?: string;
  /** Attributes. */
  readonly more?: string;
  /** Beside the audience. */
  readonly conditions?: string;
  readonly id?: string;
  /** Moves all its times. */
  readonly laterSeconds?: number;
}

export const attribute = (name: string, ...values: readonly string[]): string =>
  `<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/${name}">${values.map((value) => `<saml:AttributeValue>${value}</saml:AttributeValue>`).join("")}</saml:Attribute>`;

export function response(parts: Parts = {}): string {
  const { issuer = ISSUER, laterSeconds: later = 0, subject = "carol", id = "_a", conditions = "" } = parts;
  const { issuedAt = at(later - 10), notOnOrAfter = at(later + 300), confirmedUntil = at(later + 300) } = parts;
  const { audience = "urn:amazon:webservices", recipient = RECIPIENT, method = "bearer", status = "Success" } = parts;
  const { roles = [`${PROVIDER},${ROLE}`], sessionName = "carol@example.com", more = "" } = parts;
  return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0" IssueInstant="${issuedAt}"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:${status}"/></samlp:Status><saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="${id}" Version="2.0" IssueInstant="${issuedAt}"><saml:Issuer>${issuer}</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">${subject}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:${method}"><saml:SubjectConfirmationData NotOnOrAfter="${confirmedUntil}" Recipient="${recipient}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="${at(later - 20)}" NotOnOrAfter="${notOnOrAfter}"><saml:AudienceRestriction><saml:Audience>${audience}</saml:Audience></saml:AudienceRestriction>${conditions}</saml:Conditions><saml:AttributeStatement>${attribute("Role", ...roles)}${attribute("RoleSessionName", sessionName)}${more}</saml:AttributeStatement></saml:Assertion></samlp:Response>`;
}

export interface Signing {
  readonly by: Signer;
  readonly over?: "Assertion" | "Response";
  /** Where the signature stands; in what it is over if absent. */
  readonly place?: "Assertion" | "Response";
  readonly algorithm?: string;
  readonly digest?: string;
  readonly canonical?: string;
}

const MORE = "http://www.w3.org/2001/04/xmldsig-more#";

export function signed(xml: string, { by, over = "Assertion", place = over, ...given }: Signing): string {
  const { algorithm = "2001/04/xmldsig-more#rsa-sha256", digest = "2001/04/xmlenc#sha256" } = given;
  const { canonical = "2001/10/xml-exc-c14n#" } = given;
  const signer = new SignedXml({ privateKey: by.privateKey, publicCert: by.certificate });
  signer.SignatureAlgorithms[`${MORE}rsa-sha384`] = RsaSha384;
  signer.HashAlgorithms[`${MORE}sha384`] = Sha384;
  signer.signatureAlgorithm = `http://www.w3.org/${algorithm}`;
  signer.canonicalizationAlgorithm = `http://www.w3.org/${canonical}`;
  const xpath = `//*[local-name(.)='${over}']`;
  signer.addReference({
    ...{ xpath, digestAlgorithm: `http://www.w3.org/${digest}` },
    transforms: ["http://www.w3.org/2000/09/xmldsig#enveloped-signature", `http://www.w3.org/${canonical}`],
  });
  signer.computeSignature(xml, { location: { reference: `//*[local-name(.)='${place}']`, action: "append" } });
  return signer.getSignedXml();
}

/** The library has none. */
class RsaSha384 {
  getAlgorithmName = (): string => `${MORE}rsa-sha384`;
  getSignature = (material: BinaryLike, key: KeyLike): string =>
    createSign("sha384")
      .update(material)
      .sign(key as string, "base64");
  verifySignature = (): never => expect.unreachable();
}
class Sha384 {
  getAlgorithmName = (): string => `${MORE}sha384`;
  getHash = (xml: string): string => createHash("sha384").update(xml).digest("base64");
}

export const encode = (xml: string): string => Buffer.from(xml).toString("base64");

export function assume(
  bed: Bed,
  assertion: string,
  extra: { RoleArn?: string; DurationSeconds?: number } = {},
): Promise<AssumeRoleWithSAMLCommandOutput> {
  const input = { RoleArn: ROLE, PrincipalArn: PROVIDER, SAMLAssertion: assertion, ...extra };
  return bed.sts({ accessKeyId: "", secretAccessKey: "" }).send(new AssumeRoleWithSAMLCommand(input));
}

export async function verdict(call: Promise<unknown>): Promise<string> {
  return (await outcome(call)).replace(/Exception$/, "");
}
