/** Roles by proof of another: OpenID Connect tokens. Nothing is signed with AWS keys. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { GenerateRandomCommand } from "@aws-sdk/client-kms";
import { AssumeRoleWithWebIdentityCommand, type AssumeRoleWithWebIdentityCommandInput } from "@aws-sdk/client-sts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAccount, MockPrincipal } from "../../mock/aws/accounts.ts";
import type { PolicyDocument } from "../../mock/aws/iam/policy.ts";
import { ACCOUNT, allow, type Bed, NOW, outcome, startBed, trust } from "./door-bed.ts";

const ISSUER = "https://token.example.com/pool";
const PROVIDER = `arn:aws:iam::${ACCOUNT}:oidc-provider/token.example.com/pool`;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const small = generateKeyPairSync("rsa", { modulusLength: 1_024 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = generateKeyPairSync("rsa", { modulusLength: 2_048 });

const jwk = ({ publicKey }: { publicKey: KeyObject }, kid: string) => ({ ...publicKey.export({ format: "jwk" }), kid });
const role = (name: string, trustPolicy: PolicyDocument): MockPrincipal => ({
  ...{ type: "role", name, identityPolicies: [allow("kms:*")], credentials: [], trustPolicy },
});
const when = (conditions: object) =>
  trust({ Federated: PROVIDER }, ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"], { Condition: conditions });

const accounts: readonly MockAccount[] = [
  {
    accountId: ACCOUNT,
    principals: [
      role("any", when({ StringEquals: { "token.example.com/pool:aud": "app" } })),
      role("carol", when({ StringEquals: { "token.example.com/pool:sub": "carol-1234" } })),
      role("strong", when({ "ForAnyValue:StringEquals": { "token.example.com/pool:amr": "mfa" } })),
      role("account", trust({ AWS: ACCOUNT }, "sts:AssumeRoleWithWebIdentity")),
    ],
    oidcProviders: [
      {
        url: ISSUER,
        clientIds: ["app", "other-app"],
        jwks: { keys: [jwk(rsa, "r"), jwk(ec, "e"), jwk(small, "s")] },
      },
    ],
  },
];

let bed: Bed;
beforeAll(async () => {
  bed = await startBed(accounts);
});
afterAll(() => bed[Symbol.asyncDispose]());

const SECONDS = NOW.getTime() / 1000;
const CLAIMS = { iss: ISSUER, aud: "app", sub: "carol-1234", iat: SECONDS - 10, exp: SECONDS + 600 };
const part = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function token(
  claims: object | string,
  header: object = { alg: "RS256", kid: "r" },
  key: KeyObject = rsa.privateKey,
): string {
  const signed = `${part(header)}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

function assume(WebIdentityToken: string, name = "any", extra: Partial<AssumeRoleWithWebIdentityCommandInput> = {}) {
  const input = { RoleArn: `arn:aws:iam::${ACCOUNT}:role/${name}`, RoleSessionName: "web-1", WebIdentityToken };
  const nobody = { accessKeyId: "", secretAccessKey: "" };
  return bed.sts(nobody).send(new AssumeRoleWithWebIdentityCommand({ ...input, ...extra }));
}
const verdict = async (call: Promise<unknown>): Promise<string> => (await outcome(call)).replace(/Exception$/, "");

describe("AssumeRoleWithWebIdentity", () => {
  test("the answer, unsigned, and the session's caller", async () => {
    const answer = await assume(token(CLAIMS));
    expect(answer).toMatchObject({
      ...{ SubjectFromWebIdentityToken: "carol-1234", Audience: "app", Provider: PROVIDER },
      AssumedRoleUser: { Arn: `arn:aws:sts::${ACCOUNT}:assumed-role/any/web-1` },
    });
    const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = answer.Credentials ?? {};
    const session = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
    expect(await outcome(bed.kms(session).send(new GenerateRandomCommand({})))).toBe("ok");
    const caller = bed.calls.at(-1)?.caller;
    expect(caller).toMatchObject({ type: "role", federatedProvider: PROVIDER });
    expect(caller?.context.get("aws:federatedprovider")).toEqual([PROVIDER]);
    expect(caller?.context.get("token.example.com/pool:sub")).toEqual(["carol-1234"]);
    expect(bed.trail.at(-1)?.event).toMatchObject({ eventName: "AssumeRoleWithWebIdentity" });
    expect(JSON.stringify(bed.trail.at(-1))).not.toContain(SessionToken.slice(0, 50));
  });

  test("ES256, one audience of several, azp, tags", async () => {
    const signedByEc = (claims: object) => token(claims, { alg: "ES256", kid: "e" }, ec.privateKey);
    expect((await assume(signedByEc({ ...CLAIMS, aud: ["x", "app"] }))).Audience).toBe("app");
    expect(await verdict(assume(signedByEc({ ...CLAIMS, azp: "other-app" })))).toBe("AccessDenied");
    const tags = { principal_tags: { Team: ["red"] }, transitive_tag_keys: ["Team"] };
    const answer = await assume(token({ ...CLAIMS, "https://aws.amazon.com/tags": tags }));
    expect(bed.directory.find(answer.Credentials?.AccessKeyId ?? "")?.row).toMatchObject({
      ...{ sessionTags: { Team: "red" }, transitiveTagKeys: ["Team"] },
    });
  });

  const whole = token(CLAIMS);
  const [head = "", , signature = ""] = whole.split(".");
  test.each<readonly [string, string, string]>([
    [
      "another's key under the same name",
      token(CLAIMS, { alg: "RS256", kid: "r" }, stranger.privateKey),
      "InvalidIdentityToken",
    ],
    [
      "another claim under the same signature",
      `${head}.${part({ ...CLAIMS, sub: "dave-1234" })}.${signature}`,
      "InvalidIdentityToken",
    ],
    ["alg none", `${part({ alg: "none" })}.${part(CLAIMS)}.`, "InvalidIdentityToken"],
    ["alg HS256", token(CLAIMS, { alg: "HS256", kid: "r" }), "InvalidIdentityToken"],
    ["alg of another kind of key", token(CLAIMS, { alg: "ES256", kid: "r" }), "InvalidIdentityToken"],
    ["RSA of 1 024 bits", token(CLAIMS, { alg: "RS256", kid: "s" }, small.privateKey), "InvalidIdentityToken"],
    ["a critical header", token(CLAIMS, { alg: "RS256", kid: "r", crit: ["x"] }), "InvalidIdentityToken"],
    ["an unknown key", token(CLAIMS, { alg: "RS256", kid: "x" }), "InvalidIdentityToken"],
    ["no kid, one key of the kind", token(CLAIMS, { alg: "RS256" }), "ok"],
    ["another issuer", token({ ...CLAIMS, iss: "https://evil.example.com" }), "InvalidIdentityToken"],
    ["an issuer without a scheme", token({ ...CLAIMS, iss: "token.example.com/pool" }), "InvalidIdentityToken"],
    ["an audience that is not registered", token({ ...CLAIMS, aud: "evil" }), "InvalidIdentityToken"],
    ["no audience", token({ ...CLAIMS, aud: undefined }), "InvalidIdentityToken"],
    ["no subject", token({ ...CLAIMS, sub: undefined }), "InvalidIdentityToken"],
    ["no end", token({ ...CLAIMS, exp: undefined }), "InvalidIdentityToken"],
    ["ends now", token({ ...CLAIMS, exp: SECONDS }), "ExpiredToken"],
    ["ends in a second", token({ ...CLAIMS, exp: SECONDS + 1 }), "ok"],
    ["a start that is a text", token({ ...CLAIMS, nbf: "9999999999" }), "InvalidIdentityToken"],
    ["an end that is a text", token({ ...CLAIMS, exp: String(SECONDS + 600) }), "InvalidIdentityToken"],
    [
      "an end without end",
      token(`${JSON.stringify({ ...CLAIMS, exp: 0 }).slice(0, -2)}1e999}`),
      "InvalidIdentityToken",
    ],
    ["a time of issue that is a text", token({ ...CLAIMS, iat: "0" }), "InvalidIdentityToken"],
    ["not yet", token({ ...CLAIMS, nbf: SECONDS + 301 }), "InvalidIdentityToken"],
    ["a claim twice", token(`${JSON.stringify(CLAIMS).slice(0, -1)},"sub":"dave-1234"}`), "InvalidIdentityToken"],
    ["four parts", `${whole}.x`, "InvalidIdentityToken"],
    ["not a token", "not a token", "InvalidIdentityToken"],
    ["padding", `${whole}==`, "InvalidIdentityToken"],
  ])("%s", async (_why, given, expected) => {
    expect(await verdict(assume(given))).toBe(expected);
  });

  const tags = (principal_tags: unknown, more: object = {}) => ({
    "https://aws.amazon.com/tags": { principal_tags, ...more },
  });
  const many = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, ["v"]]));
  const identity = (name: unknown) => ({ "https://aws.amazon.com/source_identity": name });
  const REFUSED = "InvalidIdentityToken";
  test.each<readonly [string, object, string]>([
    ["50 tags", tags(many(50)), "ok"],
    ["51 tags", tags(many(51)), REFUSED],
    ["a tag with two values", tags({ a: ["x", "y"] }), REFUSED],
    ["a tag with none", tags({ a: [] }), REFUSED],
    ["a tag with a number", tags({ a: [1] }), REFUSED],
    ["a tag that is no list", tags({ a: "x" }), REFUSED],
    ["an empty key", tags({ "": ["x"] }), REFUSED],
    ["a key of 129 characters", tags({ ["k".repeat(129)]: ["x"] }), REFUSED],
    ["a key with a star", tags({ "a*": ["x"] }), REFUSED],
    ["a value with a line feed", tags({ a: ["x\n"] }), REFUSED],
    ["a value of 257 characters", tags({ a: ["v".repeat(257)] }), REFUSED],
    ["a key of AWS's own", tags({ "Aws:a": ["x"] }), "InvalidParameterValue"],
    ["two keys that differ in case", tags({ a: ["x"], A: ["y"] }), "InvalidParameterValue"],
    ["a transitive key that is no tag", tags({ a: ["x"] }, { transitive_tag_keys: ["b"] }), "InvalidParameterValue"],
    ["transitive keys that are no list", tags({ a: ["x"] }, { transitive_tag_keys: "a" }), REFUSED],
    ["tags that are a list", tags([]), REFUSED],
    ["tags that are a text", { "https://aws.amazon.com/tags": "a" }, REFUSED],
    ["a source identity of one character", identity("x"), REFUSED],
    ["a source identity of 65", identity("x".repeat(65)), REFUSED],
    ["a source identity with a space", identity("a b"), REFUSED],
    ["a source identity that is a number", identity(12), REFUSED],
    ["an empty source identity", identity(""), REFUSED],
  ])("what becomes the session's: %s", async (_why, claims, expected) => {
    expect(await verdict(assume(token({ ...CLAIMS, ...claims })))).toBe(expected);
  });

  test.each<readonly [string, object, string, string]>([
    ["the subject the role wants", {}, "carol", "ok"],
    ["another subject", { sub: "dave-1234" }, "carol", "AccessDenied"],
    ["a method the role wants", { amr: ["pwd", "mfa"] }, "strong", "ok"],
    ["no method", {}, "strong", "AccessDenied"],
    ["a role that trusts the account, not the provider", {}, "account", "AccessDenied"],
    ["no such role", {}, "nobody", "AccessDenied"],
    [
      "a source identity without sts:SetSourceIdentity",
      { "https://aws.amazon.com/source_identity": "carol" },
      "any",
      "AccessDenied",
    ],
  ])("the trust policy: %s → %s", async (_why, claims, name, expected) => {
    expect(await verdict(assume(token({ ...CLAIMS, ...claims }), name))).toBe(expected);
  });
});
