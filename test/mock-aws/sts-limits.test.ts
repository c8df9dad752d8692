/** What STS refuses whatever policies say: other partitions, what sessions may not call, proofs shown twice. */
import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  AssumeRoleWithWebIdentityCommand,
  DecodeAuthorizationMessageCommand,
  GetAccessKeyInfoCommand,
  GetCallerIdentityCommand,
  GetFederationTokenCommand,
  GetSessionTokenCommand,
} from "@aws-sdk/client-sts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAccount } from "../../mock/aws/accounts.ts";
import type { Partition } from "../../mock/aws/iam/principal.ts";
import { oneTimeCode } from "../../mock/aws/sts/one-time-code.ts";
import { SpentProofs } from "../../mock/aws/sts/spent-proofs.ts";
import { ACCOUNT, allow, type Bed, CHINA, type Keys, NOW, outcome, startBed, trust, userKeys } from "./door-bed.ts";
import { keysOf, SEED, SERIAL, tokenIssuer } from "./sts-bed.ts";
import { assume, encode, makeSigner, response, type Signer, samlAccount, signed, verdict } from "./sts-saml-bed.ts";

const keys = { alice: userKeys(), china: userKeys() };
const issuer = tokenIssuer();

/** A user, and roles that everybody may assume: by a signature, by a token. */
function account(accountId: string, partition: Partition, credentials: Keys): MockAccount {
  const provider = `arn:${partition}:iam::${accountId}:oidc-provider/${issuer.name}`;
  const role = (name: string, trustPolicy: ReturnType<typeof trust>) => ({
    ...{ type: "role" as const, name, identityPolicies: [allow("sts:*")], credentials: [], trustPolicy },
  });
  const mfaDevices = [{ serialNumber: SERIAL, seed: SEED }];
  return {
    accountId,
    partition,
    principals: [
      { type: "user", name: "alice", identityPolicies: [allow("*")], credentials: [credentials], mfaDevices },
      role("open", trust("*" as never)),
      role("web", trust({ Federated: provider }, "sts:AssumeRoleWithWebIdentity")),
    ],
    oidcProviders: [issuer.provider],
  };
}

let idp: Signer;
let bed: Bed;
/** How far the emulator's clock is ahead of clients'. */
let aheadMs = 0;
beforeAll(async () => {
  idp = await makeSigner();
  const { samlProviders = [], principals } = samlAccount([idp.certificate]);
  const [own, china] = [account(ACCOUNT, "aws", keys.alice), account(CHINA, "aws-cn", keys.china)];
  bed = await startBed([{ ...own, principals: [...own.principals, ...principals], samlProviders }, china], {
    clientTime: (now) => new Date(now.getTime() - aheadMs),
  });
});
afterAll(() => bed[Symbol.asyncDispose]());

const open = (partition: string, accountId: string) => `arn:${partition}:iam::${accountId}:role/open`;
function assumeOpen(by: Keys, { region, ...extra }: Partial<AssumeRoleCommandInput> & { region?: string } = {}) {
  const input = { RoleArn: open("aws", ACCOUNT), RoleSessionName: "s-1", ...extra };
  return bed.sts(by, region).send(new AssumeRoleCommand(input));
}
function assumeWeb(RoleArn: string, seconds = NOW.getTime() / 1000) {
  const input = { RoleArn, RoleSessionName: "s-1", WebIdentityToken: issuer.token(seconds) };
  return bed.sts({ accessKeyId: "", secretAccessKey: "" }).send(new AssumeRoleWithWebIdentityCommand(input));
}
const withCode = (counter: number) => ({ SerialNumber: SERIAL, TokenCode: oneTimeCode(SEED, counter) });
const STEP = NOW.getTime() / 30_000;

describe("partitions", () => {
  test("a role is assumed in its own partition, also where everybody is trusted", async () => {
    const RoleArn = open("aws-cn", CHINA);
    expect(await outcome(assumeOpen(keys.china, { RoleArn, region: "cn-north-1" }))).toBe("ok");
    expect(await outcome(assumeOpen(keys.alice, { RoleArn }))).toBe("ValidationError");
    expect(await outcome(assumeOpen(keys.china, { region: "cn-north-1" }))).toBe("ValidationError");
  });

  test("by a token, by an assertion", async () => {
    expect(await outcome(assumeWeb(`arn:aws:iam::${ACCOUNT}:role/web`))).toBe("ok");
    expect(await outcome(assumeWeb(`arn:aws-cn:iam::${CHINA}:role/web`))).toBe("ValidationError");
    const assertion = encode(signed(response(), { by: idp }));
    expect(await verdict(assume(bed, assertion))).toBe("ok");
    expect(await verdict(assume(bed, assertion, { RoleArn: open("aws-cn", CHINA) }))).toBe("ValidationError");
  });
});

describe("when the emulator's clock was moved on", () => {
  test("tokens, assertions and codes are judged by clients' time, sessions by the emulator's", async () => {
    aheadMs = 30 * 86_400_000;
    bed.offsetMs = aheadMs;
    const web = await assumeWeb(`arn:aws:iam::${ACCOUNT}:role/web`);
    expect(web.Credentials?.Expiration).toEqual(new Date(NOW.getTime() + aheadMs + 3_600_000));
    const until = new Date(NOW.getTime() + 600_000).toISOString();
    const statement = `<saml:AuthnStatement AuthnInstant="${until}" SessionNotOnOrAfter="${until}"/></saml:Assertion>`;
    const assertion = signed(response().replace("</saml:Assertion>", statement), { by: idp });
    const saml = await assume(bed, encode(assertion));
    expect(saml.Credentials?.Expiration).toEqual(new Date(NOW.getTime() + aheadMs + 600_000));
    const { Credentials: given } = await bed.sts(keys.alice).send(new GetSessionTokenCommand(withCode(STEP + 1)));
    const { mfaAt } = bed.directory.find(given?.AccessKeyId ?? "")?.row ?? {};
    expect(mfaAt).toBe(new Date(NOW.getTime() + aheadMs).toISOString());
  });

  test("what is made for the emulator's time is from the future", async () => {
    const later = (NOW.getTime() + aheadMs) / 1000;
    expect(await verdict(assumeWeb(`arn:aws:iam::${ACCOUNT}:role/web`, later))).toBe("InvalidIdentityToken");
    const assertion = signed(response({ laterSeconds: aheadMs / 1000 }), { by: idp });
    expect(await verdict(assume(bed, encode(assertion)))).toBe("InvalidIdentityToken");
    const call = bed.sts(keys.alice).send(new GetSessionTokenCommand(withCode(later / 30)));
    expect(await outcome(call)).toBe("AccessDenied");
    [aheadMs, bed.offsetMs] = [0, 0];
  });
});

describe("what is shown once", () => {
  test("a code that a session was made with makes no other, of whichever kind", async () => {
    expect(await outcome(assumeOpen(keys.alice, withCode(STEP)))).toBe("ok");
    expect(await outcome(bed.sts(keys.alice).send(new GetSessionTokenCommand(withCode(STEP))))).toBe("AccessDenied");
    expect(await outcome(assumeOpen(keys.alice, withCode(STEP)))).toBe("AccessDenied");
  });

  test("what ran out makes room; while nothing has, one more is refused", () => {
    const spent = new SpentProofs(2);
    const spend = (proof: string, nowMs: number): boolean => spent.spend(proof, { untilMs: nowMs + 10, nowMs });
    expect([spend("a", 0), spend("a", 9), spend("b", 9)]).toEqual([true, false, true]);
    expect(() => spend("c", 9)).toThrow(expect.objectContaining({ error: "ThrottlingException" }));
    expect([spend("b", 9), spend("c", 10), spend("a", 19), spend("a", 19)]).toEqual([false, true, true, false]);
    spent.clear();
    expect([spend("a", 19), spend("a", 28), spend("a", 29)]).toEqual([true, false, true]);
  });
});

describe("what a session may call", () => {
  const calls = {
    AssumeRole: (by: Keys) => assumeOpen(by),
    DecodeAuthorizationMessage: (by: Keys) =>
      bed.sts(by).send(new DecodeAuthorizationMessageCommand({ EncodedMessage: "x" })),
    GetAccessKeyInfo: (by: Keys) => bed.sts(by).send(new GetAccessKeyInfoCommand({ AccessKeyId: by.accessKeyId })),
    GetCallerIdentity: (by: Keys) => bed.sts(by).send(new GetCallerIdentityCommand({})),
    GetFederationToken: (by: Keys) => bed.sts(by).send(new GetFederationTokenCommand({ Name: "carol" })),
    GetSessionToken: (by: Keys) => bed.sts(by).send(new GetSessionTokenCommand({})),
  };
  const Policy = JSON.stringify(allow("*"));
  test.each<readonly [string, () => Promise<Keys>, readonly string[]]>([
    ["a user's keys", async () => keys.alice, Object.keys(calls)],
    [
      "a user's session",
      async () => keysOf((await bed.sts(keys.alice).send(new GetSessionTokenCommand({}))).Credentials),
      ["AssumeRole", "GetCallerIdentity"],
    ],
    [
      "a federated user",
      async () =>
        keysOf((await bed.sts(keys.alice).send(new GetFederationTokenCommand({ Name: "carol", Policy }))).Credentials),
      ["GetCallerIdentity"],
    ],
    [
      "a role's session",
      async () => keysOf((await assumeOpen(keys.alice)).Credentials),
      ["AssumeRole", "DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetCallerIdentity"],
    ],
  ])("%s", async (_who, credentials, expected) => {
    const by = await credentials();
    const allowed = [];
    for (const [name, call] of Object.entries(calls))
      if ((await outcome(call(by))) !== "AccessDenied") allowed.push(name);
    expect(allowed).toEqual(expected);
  });
});

describe("parameters", () => {
  test("contexts of another provider are not taken, and their assertion is told to nobody", async () => {
    const secret = "an.assertion.of.somebody";
    const ask = (ContextAssertion: string) => {
      const ProviderArn = "arn:aws:iam::aws:contextProvider/IdentityCenter";
      return assumeOpen(keys.alice, { ProvidedContexts: [{ ProviderArn, ContextAssertion }] });
    };
    expect(await outcome(ask(secret))).toBe("ValidationError");
    expect(bed.trail.at(-1)?.event).toMatchObject({
      requestParameters: {
        providedContexts: [{ providerArn: "arn:aws:iam::aws:contextProvider/IdentityCenter" }],
      },
    });
    const message = await ask(secret.repeat(100)).then(
      () => "ok",
      (error: Error) => error.message,
    );
    expect(message).toContain("contextAssertion");
    expect(`${message} ${JSON.stringify(bed.trail)}`).not.toContain(secret);
  });

  test("a code of another form is not quoted", async () => {
    const call = bed.sts(keys.alice).send(new GetSessionTokenCommand({ SerialNumber: SERIAL, TokenCode: "hunter22" }));
    await expect(call).rejects.toMatchObject({
      name: "ValidationError",
      message: expect.stringContaining("tokenCode") as string,
    });
    await expect(call).rejects.not.toMatchObject({ message: expect.stringContaining("hunter22") as string });
    expect(JSON.stringify(bed.trail)).not.toContain("hunter22");
  });

  test("tags of AWS's own are not set", async () => {
    const Tags = [{ Key: "aWs:team", Value: "red" }];
    expect(await outcome(assumeOpen(keys.alice, { Tags }))).toBe("InvalidParameterValue");
  });
});
