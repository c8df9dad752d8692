/** AssumeRoleWithSAML: an identity provider made here signs assertions; each case has one thing wrong. */
import { GenerateRandomCommand } from "@aws-sdk/client-kms";
import { AssumeRoleWithSAMLCommand } from "@aws-sdk/client-sts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ACCOUNT, type Bed, NOW, outcome, startBed } from "./door-bed.ts";
import {
  assume as ask,
  at,
  attribute,
  encode,
  ISSUER,
  makeSigner,
  PROVIDER,
  RECIPIENT,
  ROLE,
  response,
  type Signer,
  type Signing,
  samlAccount,
  signed as sign,
  verdict,
} from "./sts-saml-bed.ts";

let idp: Signer;
let stranger: Signer;
let bed: Bed;
beforeAll(async () => {
  const other = await makeSigner();
  [idp, stranger] = await Promise.all([makeSigner(), makeSigner()]);
  bed = await startBed([samlAccount([other.certificate, idp.certificate])]);
});
afterAll(() => bed[Symbol.asyncDispose]());

const signed = (xml: string, signing: Partial<Signing> = {}): string => sign(xml, { by: idp, ...signing });
const assume = (assertion: string, RoleArn = ROLE) => ask(bed, assertion, { RoleArn });
const tag = (count: number): string =>
  Array.from({ length: count }, (_, i) => attribute(`PrincipalTag:k${i}`, "v")).join("");
const oneUse = (id: string): string => encode(signed(response({ id, conditions: "<saml:OneTimeUse/>" })));

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
    [
      "a signature of the assertion that stands outside of it",
      () => signed(response(), { place: "Response" }),
      REFUSED,
    ],
    ["two signatures", () => signed(signed(response()), { over: "Response" }), REFUSED],
    ["RSA with SHA-384", () => signed(response(), { algorithm: "2001/04/xmldsig-more#rsa-sha384" }), "ok"],
    ["RSA with SHA-512", () => signed(response(), { algorithm: "2001/04/xmldsig-more#rsa-sha512" }), "ok"],
    ["RSA-PSS", () => signed(response(), { algorithm: "2007/05/xmldsig-more#sha256-rsa-MGF1" }), "ok"],
    ["a digest of SHA-384", () => signed(response(), { digest: "2001/04/xmldsig-more#sha384" }), "ok"],
    ["inclusive canonical form", () => signed(response(), { canonical: "TR/2001/REC-xml-c14n-20010315" }), "ok"],
    [
      "comments in the canonical form",
      () => signed(response(), { canonical: "2001/10/xml-exc-c14n#WithComments" }),
      REFUSED,
    ],
    ["a declaration in front", () => `<?xml version="1.0" encoding="UTF-8"?>\n${signed(response())}`, "ok"],
    [
      "a declaration of another encoding",
      () => `<?xml version="1.0" encoding="latin1"?>${signed(response())}`,
      REFUSED,
    ],
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
    ["a comment in the subject", () => signed(response({ subject: "car<!-- x -->ol" })), REFUSED],
    ["a condition that nobody knows", () => signed(response({ conditions: "<saml:Condition/>" })), REFUSED],
    [
      "a condition of another namespace",
      () => signed(response({ conditions: '<x:OneTimeUse xmlns:x="x"/>' })),
      REFUSED,
    ],
    ["a limit for other issuers", () => signed(response({ conditions: "<saml:ProxyRestriction/>" })), "ok"],
    ["an attribute twice", () => signed(response({ more: attribute("RoleSessionName", "dave") })), REFUSED],
    [
      "a duration longer than the role's",
      () => signed(response({ more: attribute("SessionDuration", "3601") })),
      "ValidationError",
    ],
    ["50 tags", () => signed(response({ more: tag(50) })), "ok"],
    ["51 tags", () => signed(response({ more: tag(51) })), REFUSED],
    ["a tag with two values", () => signed(response({ more: attribute("PrincipalTag:k", "v", "w") })), REFUSED],
    ["a tag without a value", () => signed(response({ more: attribute("PrincipalTag:k") })), REFUSED],
    ["a tag key with a star", () => signed(response({ more: attribute("PrincipalTag:k*", "v") })), REFUSED],
    ["a tag value with a star", () => signed(response({ more: attribute("PrincipalTag:k", "*") })), REFUSED],
    [
      "a tag value of 257 characters",
      () => signed(response({ more: attribute("PrincipalTag:k", "v".repeat(257)) })),
      REFUSED,
    ],
    [
      "a tag of AWS's own",
      () => signed(response({ more: attribute("PrincipalTag:AWS:k", "v") })),
      "InvalidParameterValue",
    ],
    ["a source identity", () => signed(response({ more: attribute("SourceIdentity", "xy") })), "ok"],
    ["a source identity of one character", () => signed(response({ more: attribute("SourceIdentity", "x") })), REFUSED],
    ["a source identity with a slash", () => signed(response({ more: attribute("SourceIdentity", "a/b") })), REFUSED],
  ])("%s", async (_why, xml, expected) => {
    expect(await verdict(assume(encode(xml())))).toBe(expected);
  });

  test("an assertion for one use is taken once, also when its first use was refused", async () => {
    const [first, second] = [oneUse("_once"), oneUse("_twice")];
    expect([await verdict(assume(first)), await verdict(assume(first))]).toEqual(["ok", REFUSED]);
    const refused = await verdict(assume(second, `arn:aws:iam::${ACCOUNT}:role/only-carol`));
    expect([refused, await verdict(assume(second))]).toEqual(["AccessDenied", REFUSED]);
    const again = encode(signed(response()));
    expect([await verdict(assume(again)), await verdict(assume(again))]).toEqual(["ok", "ok"]);
  });

  test("bytes that are not UTF-8 are not read as others", async () => {
    const xml = signed(response({ subject: "car\u00ffol" }));
    expect(await verdict(assume(encode(xml)))).toBe("ok");
    expect(await verdict(assume(Buffer.from(xml, "latin1").toString("base64")))).toBe(REFUSED);
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
