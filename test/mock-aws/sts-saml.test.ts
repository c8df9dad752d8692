/** AssumeRoleWithSAML: an identity provider made here signs assertions; each case has one thing wrong. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { GenerateRandomCommand } from "@aws-sdk/client-kms";
import { AssumeRoleWithSAMLCommand } from "@aws-sdk/client-sts";
import { X509CertificateGenerator } from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SignedXml } from "xml-crypto";
import { ACCOUNT, allow, type Bed, NOW, outcome, startBed, trust } from "./door-bed.ts";

const ISSUER = "https://idp.example.com/saml";
const PROVIDER = `arn:aws:iam::${ACCOUNT}:saml-provider/corp`;
const ROLE = `arn:aws:iam::${ACCOUNT}:role/staff`;
const RECIPIENT = "https://signin.aws.amazon.com/saml";
const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  publicExponent: new Uint8Array([1, 0, 1]),
  modulusLength: 2_048,
};

interface Signer {
  readonly privateKey: string;
  readonly certificate: string;
}

async function makeSigner(): Promise<Signer> {
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

let idp: Signer;
let stranger: Signer;
let bed: Bed;
beforeAll(async () => {
  [idp, stranger] = await Promise.all([makeSigner(), makeSigner()]);
  const role = (name: string, condition: object) => ({
    ...{ type: "role" as const, name, identityPolicies: [allow("kms:*")], credentials: [] },
    trustPolicy: trust({ Federated: PROVIDER }, ["sts:AssumeRoleWithSAML", "sts:TagSession"], { Condition: condition }),
  });
  bed = await startBed([
    {
      accountId: ACCOUNT,
      principals: [
        role("staff", { StringEquals: { "saml:aud": RECIPIENT } }),
        role("only-carol", { StringEquals: { "saml:sub": "carol", "saml:sub_type": "persistent" } }),
      ],
      samlProviders: [
        { name: "corp", issuer: ISSUER, certificates: [stranger.certificate.replace(/[A-Z]/, "A"), idp.certificate] },
      ],
    },
  ]);
});
afterAll(() => bed[Symbol.asyncDispose]());

const at = (seconds: number): string => new Date(NOW.getTime() + seconds * 1000).toISOString();

interface Parts {
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
  readonly more?: string;
}

const attribute = (name: string, ...values: readonly string[]): string =>
  `<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/${name}">${values.map((value) => `<saml:AttributeValue>${value}</saml:AttributeValue>`).join("")}</saml:Attribute>`;

function response(parts: Parts = {}): string {
  const {
    issuer = ISSUER,
    issuedAt = at(-10),
    notOnOrAfter = at(300),
    confirmedUntil = at(300),
    subject = "carol",
  } = parts;
  const { audience = "urn:amazon:webservices", recipient = RECIPIENT, method = "bearer", status = "Success" } = parts;
  const { roles = [`${PROVIDER},${ROLE}`], sessionName = "carol@example.com", more = "" } = parts;
  return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0" IssueInstant="${issuedAt}"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:${status}"/></samlp:Status><saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a" Version="2.0" IssueInstant="${issuedAt}"><saml:Issuer>${issuer}</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">${subject}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:${method}"><saml:SubjectConfirmationData NotOnOrAfter="${confirmedUntil}" Recipient="${recipient}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="${at(-20)}" NotOnOrAfter="${notOnOrAfter}"><saml:AudienceRestriction><saml:Audience>${audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AttributeStatement>${attribute("Role", ...roles)}${attribute("RoleSessionName", sessionName)}${more}</saml:AttributeStatement></saml:Assertion></samlp:Response>`;
}

interface Signing {
  readonly by?: Signer;
  readonly over?: "Assertion" | "Response";
  readonly algorithm?: string;
  readonly digest?: string;
}

function signed(
  xml: string,
  {
    by = idp,
    over = "Assertion",
    algorithm = "2001/04/xmldsig-more#rsa-sha256",
    digest = "2001/04/xmlenc#sha256",
  }: Signing = {},
): string {
  const signer = new SignedXml({ privateKey: by.privateKey, publicCert: by.certificate });
  signer.signatureAlgorithm = `http://www.w3.org/${algorithm}`;
  signer.canonicalizationAlgorithm = "http://www.w3.org/2001/10/xml-exc-c14n#";
  const xpath = `//*[local-name(.)='${over}']`;
  signer.addReference({
    ...{ xpath, digestAlgorithm: `http://www.w3.org/${digest}` },
    transforms: ["http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/2001/10/xml-exc-c14n#"],
  });
  signer.computeSignature(xml, { location: { reference: xpath, action: "append" } });
  return signer.getSignedXml();
}

const encode = (xml: string): string => Buffer.from(xml).toString("base64");

function assume(SAMLAssertion: string, RoleArn = ROLE, DurationSeconds?: number) {
  const input = {
    RoleArn,
    PrincipalArn: PROVIDER,
    SAMLAssertion,
    ...(DurationSeconds === undefined ? {} : { DurationSeconds }),
  };
  return bed.sts({ accessKeyId: "", secretAccessKey: "" }).send(new AssumeRoleWithSAMLCommand(input));
}
const verdict = async (call: Promise<unknown>): Promise<string> => (await outcome(call)).replace(/Exception$/, "");

describe("AssumeRoleWithSAML", () => {
  test("the answer, and the session's caller", async () => {
    const answer = await assume(encode(signed(response())));
    expect(answer).toMatchObject({
      ...{ Subject: "carol", SubjectType: "persistent", Issuer: ISSUER, Audience: RECIPIENT },
      NameQualifier: expect.stringMatching(/^[\w+/]{27}=$/) as string,
      AssumedRoleUser: { Arn: `arn:aws:sts::${ACCOUNT}:assumed-role/staff/carol@example.com` },
    });
    const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = answer.Credentials ?? {};
    const session = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
    expect(await outcome(bed.kms(session).send(new GenerateRandomCommand({})))).toBe("ok");
    expect(bed.calls.at(-1)?.caller.context.get("saml:doc")).toEqual([`${ACCOUNT}/corp`]);
  });

  test("the whole response signed, the pair the other way round, a duration and tags of the assertion", async () => {
    const more =
      attribute("SessionDuration", "1800") +
      attribute("PrincipalTag:Team", "red") +
      attribute("TransitiveTagKeys", "Team");
    const xml = signed(response({ roles: ["arn:aws:iam::1:role/x,y", `${ROLE}, ${PROVIDER}`], more }), {
      over: "Response",
    });
    const { Credentials: given } = await assume(encode(xml));
    expect(given?.Expiration).toEqual(new Date(NOW.getTime() + 1_800_000));
    expect(bed.directory.find(given?.AccessKeyId ?? "")?.row).toMatchObject({
      sessionTags: { Team: "red" },
      transitiveTagKeys: ["Team"],
    });
  });

  const REFUSED = "InvalidIdentityToken";
  test.each<readonly [string, () => string, string]>([
    ["not signed", () => response(), REFUSED],
    ["by another's key", () => signed(response(), { by: stranger }), REFUSED],
    ["changed after signing", () => signed(response()).replace(">carol<", ">dave<"), REFUSED],
    ["RSA with SHA-1", () => signed(response(), { algorithm: "2000/09/xmldsig#rsa-sha1" }), REFUSED],
    ["a digest of SHA-1", () => signed(response(), { digest: "2000/09/xmldsig#sha1" }), REFUSED],
    ["a second assertion before the signed one", () => wrapped("before"), REFUSED],
    ["the signed one moved into the signature of another", () => wrapped("inside"), REFUSED],
    ["the signed one moved into an extension", () => wrapped("extension"), REFUSED],
    ["two signatures", () => signed(signed(response()), { over: "Response" }), REFUSED],
    ["a document type", () => `<!DOCTYPE x [<!ENTITY e "e">]>${signed(response())}`, REFUSED],
    ["not XML", () => "<a><b></a>", REFUSED],
    ["another issuer", () => signed(response({ issuer: "https://evil.example.com" })), REFUSED],
    ["another audience", () => signed(response({ audience: "urn:other" })), REFUSED],
    [
      "another recipient",
      () => signed(response({ recipient: "https://signin.aws.amazon.com.evil.example/saml" })),
      REFUSED,
    ],
    ["no bearer", () => signed(response({ method: "holder-of-key" })), REFUSED],
    ["issued 301 seconds ago", () => signed(response({ issuedAt: at(-301) })), "ExpiredToken"],
    ["issued 300 seconds ago", () => signed(response({ issuedAt: at(-300) })), "ok"],
    ["conditions that have ended", () => signed(response({ notOnOrAfter: at(0) })), "ExpiredToken"],
    ["a confirmation that has ended", () => signed(response({ confirmedUntil: at(0) })), "ExpiredToken"],
    ["a failure, reported", () => signed(response({ status: "Requester" }), { over: "Response" }), "IDPRejectedClaim"],
    ["no role of ours", () => signed(response({ roles: [`${PROVIDER},${ROLE}x`] })), "AccessDenied"],
    ["a session name with a space", () => signed(response({ sessionName: "carol smith" })), REFUSED],
    ["a comment in the subject: it is one text", () => signed(response({ subject: "car<!-- x -->ol" })), "ok"],
    ["an attribute twice", () => signed(response({ more: attribute("RoleSessionName", "dave") })), REFUSED],
    [
      "a duration longer than the role's",
      () => signed(response({ more: attribute("SessionDuration", "3601") })),
      "ValidationError",
    ],
  ])("%s", async (_why, xml, expected) => {
    expect(await verdict(assume(encode(xml())))).toBe(expected);
  });

  test("the provider's own session ends it if that is earlier, and none begins when it has ended", async () => {
    const until = (seconds: number): string => {
      const statement = `<saml:AuthnStatement AuthnInstant="${at(-10)}" SessionNotOnOrAfter="${at(seconds)}"/>`;
      return encode(signed(response().replace("</saml:Assertion>", `${statement}</saml:Assertion>`)));
    };
    const endOf = async (seconds: number) => (await assume(until(seconds))).Credentials?.Expiration?.toISOString();
    expect([await endOf(600), await endOf(7_200)]).toEqual([at(600), at(3_600)]);
    expect([await verdict(assume(until(1))), await verdict(assume(until(0)))]).toEqual(["ok", "ExpiredToken"]);
  });

  test("text that is not base64, another provider, the trust policy's own demands", async () => {
    expect(await verdict(assume("****"))).toBe(REFUSED);
    const carol = `arn:aws:iam::${ACCOUNT}:role/only-carol`;
    const as = (subject: string) =>
      assume(encode(signed(response({ subject, roles: [`${PROVIDER},${carol}`] }))), carol);
    expect([await verdict(as("carol")), await verdict(as("dave"))]).toEqual(["ok", "AccessDenied"]);
    const input = { RoleArn: ROLE, PrincipalArn: `${PROVIDER}x`, SAMLAssertion: encode(signed(response())) };
    const other = bed.sts({ accessKeyId: "", secretAccessKey: "" }).send(new AssumeRoleWithSAMLCommand(input));
    expect(await verdict(other)).toBe("AccessDenied");
  });

  /** Signature wrapping: the genuine assertion stays somewhere, a forged one stands where it is read. */
  function wrapped(where: "before" | "inside" | "extension"): string {
    const genuine = signed(response());
    const [assertion = ""] = /<saml:Assertion.*<\/saml:Assertion>/s.exec(genuine) ?? [];
    const [signature = ""] = /<Signature.*<\/Signature>/s.exec(assertion) ?? [];
    const forged = assertion.replace(signature, "").replace(">carol<", ">dave<").replace('ID="_a"', 'ID="_f"');
    if (where === "before") return genuine.replace(assertion, `${forged}${assertion}`);
    const inner = assertion.replace(signature, "");
    if (where === "extension")
      return genuine.replace(assertion, `<samlp:Extensions>${assertion}</samlp:Extensions>${forged}`);
    const carrying = signature.replace("</Signature>", `<Object>${inner}</Object></Signature>`);
    return genuine.replace(assertion, forged.replace("</saml:Assertion>", `${carrying}</saml:Assertion>`));
  }
});
