/** STS in the trail: CloudTrail's members for each way to become somebody, in both accounts, and nothing that opens. */
import {
  AssumeRoleCommand,
  AssumeRoleWithWebIdentityCommand,
  GetCallerIdentityCommand,
  GetFederationTokenCommand,
  GetSessionTokenCommand,
} from "@aws-sdk/client-sts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { uniqueId } from "../../mock/aws/credentials.ts";
import { oneTimeCode } from "../../mock/aws/sts/one-time-code.ts";
import type { CloudTrailEvent } from "../../mock/aws/trail.ts";
import { ACCOUNT, allow, type Bed, type Keys, NOW, PARTNER, startBed, trust, userKeys } from "./door-bed.ts";
import { keysOf, SEED, SERIAL, tokenIssuer } from "./sts-bed.ts";
import {
  assume,
  attribute,
  encode,
  ISSUER,
  makeSigner,
  PROVIDER,
  ROLE,
  response,
  type Signer,
  samlAccount,
  signed,
} from "./sts-saml-bed.ts";

const keys = { alice: userKeys(), partner: userKeys() };
const issuer = tokenIssuer();
const OIDC = `arn:aws:iam::${ACCOUNT}:oidc-provider/${issuer.name}`;
const OPEN = `arn:aws:iam::${ACCOUNT}:role/service/open`;
const WEB = `arn:aws:iam::${ACCOUNT}:role/web`;
const ALL = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];

let idp: Signer;
let bed: Bed;
beforeAll(async () => {
  idp = await makeSigner();
  const saml = samlAccount([idp.certificate]);
  const role = { type: "role" as const, identityPolicies: [allow("sts:*")], credentials: [] };
  const user = { type: "user" as const, identityPolicies: [allow("sts:*")] };
  const web = trust({ Federated: OIDC }, ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]);
  const mfaDevices = [{ serialNumber: SERIAL, seed: SEED }];
  bed = await startBed([
    {
      ...saml,
      principals: [
        ...saml.principals,
        { ...user, name: "alice", credentials: [keys.alice], mfaDevices },
        { ...role, name: "open", path: "/service/", trustPolicy: trust({ AWS: [ACCOUNT, PARTNER] }, ALL) },
        { ...role, name: "web", trustPolicy: web },
      ],
      oidcProviders: [issuer.provider],
    },
    { accountId: PARTNER, principals: [{ ...user, name: "partner", credentials: [keys.partner] }] },
  ]);
});
afterAll(() => bed[Symbol.asyncDispose]());

/** The events of one call. */
async function eventsOf(call: () => Promise<unknown>): Promise<readonly CloudTrailEvent[]> {
  const before = bed.trail.length;
  await call().catch((error: unknown) => expect(error).toBeInstanceOf(Error));
  return bed.trail.slice(before).map(({ event }) => event);
}

const become = (by: Keys, extra: object = {}) =>
  bed.sts(by).send(new AssumeRoleCommand({ RoleArn: OPEN, RoleSessionName: "s-1", ...extra }));
const assumed = (name: string, arn: string, session: string) => ({
  assumedRoleId: `${uniqueId("AROA", arn)}:${session}`,
  arn: `arn:aws:sts::${ACCOUNT}:assumed-role/${name}/${session}`,
});
const CREDENTIALS = {
  accessKeyId: expect.stringMatching(/^ASIA/) as string,
  expiration: "Mar 1, 2026, 1:00:00 PM",
};
const resource = (ARN: string, type = "AWS::IAM::Role") => ({ accountId: ACCOUNT, type, ARN });

test("AssumeRole: lower camel case all through, the role among the resources", async () => {
  const Tags = [{ Key: "Team", Value: "red" }];
  const PolicyArns = [{ arn: "arn:aws:iam::1:policy/x" }];
  const given = { Tags, TransitiveTagKeys: ["Team"], SourceIdentity: "alice", DurationSeconds: 3_600 };
  const [event, ...others] = await eventsOf(() => become(keys.alice, { ...given, ExternalId: "x-42" }));
  expect(others).toEqual([]);
  expect(event).toMatchObject({
    ...{ eventSource: "sts.amazonaws.com", eventName: "AssumeRole", readOnly: true, recipientAccountId: ACCOUNT },
    userIdentity: { type: "IAMUser", userName: "alice" },
    resources: [resource(OPEN)],
  });
  expect(event?.requestParameters).toEqual({
    ...{ roleArn: OPEN, roleSessionName: "s-1", durationSeconds: 3_600, externalId: "x-42", sourceIdentity: "alice" },
    ...{ tags: [{ key: "Team", value: "red" }], transitiveTagKeys: ["Team"] },
  });
  expect(event?.responseElements).toEqual({
    ...{ credentials: CREDENTIALS, assumedRoleUser: assumed("open", OPEN, "s-1"), sourceIdentity: "alice" },
    packedPolicySize: expect.any(Number) as number,
  });
  const [refused] = await eventsOf(() => become(keys.alice, { PolicyArns }));
  expect(refused).toMatchObject({
    requestParameters: { policyArns: PolicyArns },
    responseElements: null,
    resources: [],
  });
});

test("a chain: what the calling session hands on", async () => {
  const Tags = [{ Key: "Team", Value: "red" }];
  const first = await become(keys.alice, { Tags, TransitiveTagKeys: ["Team"], SourceIdentity: "alice" });
  const [event] = await eventsOf(() => become(keysOf(first.Credentials)));
  expect(event?.requestParameters).toMatchObject({ incomingTransitiveTags: { Team: "red" }, sourceIdentity: "alice" });
});

test("a role of another account: both get the event, and the owner learns of the caller account and id", async () => {
  const [own, owners, ...others] = await eventsOf(() => become(keys.partner));
  expect(others).toEqual([]);
  expect([own?.recipientAccountId, owners?.recipientAccountId]).toEqual([PARTNER, ACCOUNT]);
  expect(own?.sharedEventID).toMatch(/^[0-9a-f-]{36}$/);
  expect(owners?.sharedEventID).toBe(own?.sharedEventID);
  const principalId = uniqueId("AIDA", `arn:aws:iam::${PARTNER}:user/partner`);
  expect(owners?.userIdentity).toEqual({ type: "AWSAccount", accountId: PARTNER, principalId });
  expect(owners?.resources).toEqual([resource(OPEN)]);
  expect(owners?.responseElements).toEqual(own?.responseElements);
});

test("a refused call: the caller's account alone, without parameters", async () => {
  const events = await eventsOf(() => become(keys.partner, { RoleArn: WEB }));
  expect(events).toMatchObject([
    { recipientAccountId: PARTNER, errorCode: "AccessDenied", requestParameters: null, responseElements: null },
  ]);
  expect(events).toMatchObject([{ resources: [] }]);
});

test("AssumeRoleWithWebIdentity", async () => {
  const tags = { principal_tags: { Team: ["red"] }, transitive_tag_keys: ["Team"] };
  const claims = { "https://aws.amazon.com/tags": tags, "https://aws.amazon.com/source_identity": "carol" };
  const WebIdentityToken = issuer.token(NOW.getTime() / 1000, claims);
  const input = { RoleArn: WEB, RoleSessionName: "s-1", WebIdentityToken };
  const nobody = bed.sts({ accessKeyId: "", secretAccessKey: "" });
  const [event] = await eventsOf(() => nobody.send(new AssumeRoleWithWebIdentityCommand(input)));
  expect(event).toMatchObject({
    userIdentity: {
      ...{ type: "WebIdentityUser", userName: "carol-1234", identityProvider: OIDC },
      principalId: `${OIDC}:app:carol-1234`,
    },
    resources: [resource(WEB)],
  });
  expect(event?.requestParameters).toEqual({
    ...{ roleArn: WEB, roleSessionName: "s-1", sourceIdentity: "carol" },
    ...{ principalTags: { Team: "red" }, transitiveTagKeys: ["Team"] },
  });
  expect(event?.responseElements).toEqual({
    ...{ credentials: CREDENTIALS, assumedRoleUser: assumed("web", WEB, "s-1"), sourceIdentity: "carol" },
    ...{ subjectFromWebIdentityToken: "carol-1234", provider: OIDC, audience: "app" },
    packedPolicySize: expect.any(Number) as number,
  });
  expect(JSON.stringify(bed.trail)).not.toContain(WebIdentityToken.split(".")[1]);
});

test("AssumeRoleWithSAML", async () => {
  const more = attribute("PrincipalTag:Team", "red") + attribute("SourceIdentity", "carol");
  const assertion = encode(signed(response({ id: "_42", more }), { by: idp }));
  const [event] = await eventsOf(() => assume(bed, assertion));
  const nameQualifier = expect.stringMatching(/^[\w+/]{27}=$/) as string;
  expect(event?.userIdentity).toEqual({
    ...{ type: "SAMLUser", userName: "carol", identityProvider: nameQualifier },
    principalId: expect.stringMatching(/^[\w+/]{27}=:carol$/) as string,
  });
  expect(event?.requestParameters).toEqual({
    ...{ roleArn: ROLE, principalArn: PROVIDER, roleSessionName: "carol@example.com", sAMLAssertionID: "_42" },
    ...{ principalTags: { Team: "red" }, sourceIdentity: "carol" },
  });
  expect(event?.responseElements).toMatchObject({
    ...{ credentials: CREDENTIALS, assumedRoleUser: assumed("staff", ROLE, "carol@example.com") },
    ...{ subject: "carol", subjectType: "persistent", issuer: ISSUER, nameQualifier, sourceIdentity: "carol" },
  });
  expect(event?.resources).toEqual([resource(ROLE), resource(PROVIDER, "AWS::IAM::SAMLProvider")]);
  expect(JSON.stringify(bed.trail)).not.toContain(assertion.slice(0, 64));
});

test("GetSessionToken and GetFederationToken change something, GetCallerIdentity shows nothing", async () => {
  const TokenCode = oneTimeCode(SEED, NOW.getTime() / 30_000);
  const sts = bed.sts(keys.alice);
  const [session] = await eventsOf(() => sts.send(new GetSessionTokenCommand({ SerialNumber: SERIAL, TokenCode })));
  expect(session).toMatchObject({ readOnly: false, requestParameters: { serialNumber: SERIAL } });
  expect(session?.requestParameters).not.toHaveProperty("tokenCode");
  const [federation] = await eventsOf(() => sts.send(new GetFederationTokenCommand({ Name: "carol" })));
  expect(federation).toMatchObject({
    ...{ readOnly: false, requestParameters: { name: "carol" } },
    responseElements: {
      federatedUser: { federatedUserId: `${ACCOUNT}:carol`, arn: `arn:aws:sts::${ACCOUNT}:federated-user/carol` },
    },
  });
  const [who] = await eventsOf(() => sts.send(new GetCallerIdentityCommand({})));
  expect(who).toMatchObject({ readOnly: true, requestParameters: null, responseElements: null, resources: [] });
});

test("no event holds what a session is opened with", () => {
  const { sessions } = bed.directory.snapshot();
  const written = JSON.stringify(bed.trail);
  expect(sessions.length).toBeGreaterThan(6);
  for (const { accessKeyId, secretAccessKey, sessionToken = "" } of sessions) {
    expect(written).toContain(accessKeyId);
    expect(written).not.toContain(secretAccessKey);
    expect(written).not.toContain(sessionToken.slice(0, 60));
  }
});
