/** STS by the unmodified SDK: who may become whom, for how long, and what the credentials can then do. */
import { GenerateRandomCommand } from "@aws-sdk/client-kms";
import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  DecodeAuthorizationMessageCommand,
  GetAccessKeyInfoCommand,
  GetCallerIdentityCommand,
  GetFederationTokenCommand,
  GetSessionTokenCommand,
} from "@aws-sdk/client-sts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAccount, MockPrincipal } from "../../mock/aws/accounts.ts";
import { oneTimeCode } from "../../mock/aws/sts/one-time-code.ts";
import { ACCOUNT, allow, type Bed, type Keys, NOW, outcome, PARTNER, startBed, trust, userKeys } from "./door-bed.ts";
import { keysOf, SEED, SERIAL } from "./sts-bed.ts";

const keys = { alice: userKeys(), bob: userKeys(), root: userKeys(), partner: userKeys() };

function role(
  name: string,
  trustPolicy: MockPrincipal["trustPolicy"],
  more: Partial<MockPrincipal> = {},
): MockPrincipal {
  const base = { type: "role" as const, name, identityPolicies: [allow("kms:*"), allow("sts:*")], credentials: [] };
  return { ...base, ...(trustPolicy ? { trustPolicy } : {}), ...more };
}
const aliceArn = `arn:aws:iam::${ACCOUNT}:user/staff/alice`;
const toAccount = trust({ AWS: ACCOUNT }, ["sts:AssumeRole", "sts:TagSession"]);

const accounts: readonly MockAccount[] = [
  {
    accountId: ACCOUNT,
    rootCredentials: [keys.root],
    principals: [
      {
        ...{ type: "user", name: "alice", path: "/staff/", tags: { team: "blue" } },
        ...{ identityPolicies: [allow(["kms:*", "sts:*"])], credentials: [keys.alice] },
        mfaDevices: [{ serialNumber: SERIAL, seed: SEED }],
      },
      { type: "user", name: "bob", identityPolicies: [], credentials: [keys.bob] },
      role("direct", trust({ AWS: aliceArn })),
      role("open", toAccount, { maxSessionDurationSeconds: 7_200, path: "/service/" }),
      role("second", toAccount),
      role("named", trust({ AWS: ACCOUNT }, ["sts:AssumeRole", "sts:SetSourceIdentity"])),
      role(
        "external",
        trust({ AWS: ACCOUNT }, "sts:AssumeRole", { Condition: { StringEquals: { "sts:ExternalId": "x-42" } } }),
      ),
      role(
        "with-mfa",
        trust({ AWS: ACCOUNT }, "sts:AssumeRole", { Condition: { Bool: { "aws:MultiFactorAuthPresent": "true" } } }),
      ),
      role(
        "recent-mfa",
        trust({ AWS: ACCOUNT }, "sts:AssumeRole", {
          Condition: { NumericLessThan: { "aws:MultiFactorAuthAge": "600" } },
        }),
      ),
      role("untagged", trust({ AWS: ACCOUNT })),
      role("closed", undefined),
      role("cross", trust({ AWS: PARTNER })),
    ],
    managedPolicies: [{ name: "ReadNothing", document: allow("kms:DescribeKey") }],
  },
  {
    accountId: PARTNER,
    managedPolicies: [{ name: "Theirs", document: allow("kms:*") }],
    principals: [
      { type: "user", name: "partner", identityPolicies: [allow("sts:AssumeRole")], credentials: [keys.partner] },
    ],
  },
];

let bed: Bed;
beforeAll(async () => {
  bed = await startBed(accounts);
});
afterAll(() => bed[Symbol.asyncDispose]());

const arn = (name: string): string => `arn:aws:iam::${ACCOUNT}:role/${name === "open" ? "service/" : ""}${name}`;

function assume(name: string, by: Keys, extra: Partial<AssumeRoleCommandInput> = {}) {
  return bed.sts(by).send(new AssumeRoleCommand({ RoleArn: arn(name), RoleSessionName: "s-1", ...extra }));
}

async function become(name: string, by: Keys, extra: Partial<AssumeRoleCommandInput> = {}): Promise<Keys> {
  return keysOf((await assume(name, by, extra)).Credentials);
}

const use = (by: Keys): Promise<string> => outcome(bed.kms(by).send(new GenerateRandomCommand({ NumberOfBytes: 1 })));

describe("GetCallerIdentity", () => {
  test("a user with a path, root, and a session", async () => {
    const who = async (by: Keys) => {
      const { $metadata: _, ...answer } = await bed.sts(by).send(new GetCallerIdentityCommand({}));
      return answer;
    };
    expect(await who(keys.alice)).toEqual({
      ...{ Account: ACCOUNT, Arn: `arn:aws:iam::${ACCOUNT}:user/staff/alice` },
      UserId: expect.stringMatching(/^AIDA[A-Z2-7]{17}$/) as string,
    });
    expect(await who(keys.root)).toEqual({ Account: ACCOUNT, Arn: `arn:aws:iam::${ACCOUNT}:root`, UserId: ACCOUNT });
    expect(await who(await become("open", keys.alice))).toEqual({
      ...{ Account: ACCOUNT, Arn: `arn:aws:sts::${ACCOUNT}:assumed-role/open/s-1` },
      UserId: expect.stringMatching(/^AROA[A-Z2-7]{17}:s-1$/) as string,
    });
  });

  test("needs no permission: bob has no policy at all", async () => {
    expect(await outcome(bed.sts(keys.bob).send(new GetCallerIdentityCommand({})))).toBe("ok");
  });
});

describe("AssumeRole", () => {
  test("the answer, and what the credentials can do until they run out", async () => {
    const answer = await assume("direct", keys.alice);
    expect(answer.AssumedRoleUser).toEqual({
      Arn: `arn:aws:sts::${ACCOUNT}:assumed-role/direct/s-1`,
      AssumedRoleId: expect.stringMatching(/^AROA[A-Z2-7]{17}:s-1$/) as string,
    });
    expect(answer.Credentials?.Expiration).toEqual(new Date(NOW.getTime() + 3_600_000));
    expect(answer.Credentials?.AccessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/);
    expect(answer.PackedPolicySize).toBeUndefined();
    const session = await become("direct", keys.alice);
    expect(await use(session)).toBe("ok");
    bed.offsetMs = 3_600_000;
    expect(await use(session)).toBe("ExpiredTokenException");
    expect(await outcome(bed.sts(session).send(new GetCallerIdentityCommand({})))).toBe("ExpiredToken");
    bed.offsetMs = 0;
  });

  test.each<readonly [string, string, keyof typeof keys, Partial<AssumeRoleCommandInput>, string]>([
    ["trusted by name", "direct", "alice", {}, "ok"],
    ["another user than the trusted one", "direct", "bob", {}, "AccessDenied"],
    ["the account trusted, own policies allow", "open", "alice", {}, "ok"],
    ["the account trusted, own policies silent", "open", "bob", {}, "AccessDenied"],
    ["no trust policy", "closed", "alice", {}, "AccessDenied"],
    ["no such role", "nobody", "alice", {}, "AccessDenied"],
    ["root", "open", "root", {}, "AccessDenied"],
    ["across accounts, both allow", "cross", "partner", {}, "ok"],
    ["across accounts, not trusted", "open", "partner", {}, "AccessDenied"],
    ["the external id", "external", "alice", { ExternalId: "x-42" }, "ok"],
    ["another external id", "external", "alice", { ExternalId: "x-43" }, "AccessDenied"],
    ["no external id", "external", "alice", {}, "AccessDenied"],
    ["tags without sts:TagSession", "untagged", "alice", { Tags: [{ Key: "a", Value: "b" }] }, "AccessDenied"],
    ["tags with it", "open", "alice", { Tags: [{ Key: "a", Value: "b" }] }, "ok"],
    ["a source identity without sts:SetSourceIdentity", "open", "alice", { SourceIdentity: "alice" }, "AccessDenied"],
    ["MFA that the role demands, absent", "with-mfa", "alice", {}, "AccessDenied"],
    ["MFA, a wrong code", "with-mfa", "alice", { SerialNumber: SERIAL, TokenCode: "000000" }, "AccessDenied"],
    ["MFA, another device", "with-mfa", "alice", { SerialNumber: `${SERIAL}x`, TokenCode: "000000" }, "AccessDenied"],
    ["MFA", "with-mfa", "alice", { SerialNumber: SERIAL, TokenCode: oneTimeCode(SEED, NOW.getTime() / 30_000) }, "ok"],
    ["899 seconds", "open", "alice", { DurationSeconds: 899 }, "ValidationError"],
    ["900 seconds", "open", "alice", { DurationSeconds: 900 }, "ok"],
    ["as long as the role allows", "open", "alice", { DurationSeconds: 7_200 }, "ok"],
    ["a second longer", "open", "alice", { DurationSeconds: 7_201 }, "ValidationError"],
    ["longer than any role allows", "open", "alice", { DurationSeconds: 43_201 }, "ValidationError"],
    ["a name of one character", "open", "alice", { RoleSessionName: "s" }, "ValidationError"],
    ["a policy that is none", "open", "alice", { Policy: "{" }, "MalformedPolicyDocument"],
    [
      "a policy of 2 049 characters",
      "open",
      "alice",
      { Policy: `{"Version":"2012-10-17"${" ".repeat(2_025)}}` },
      "PackedPolicyTooLarge",
    ],
    [
      "eleven managed policies",
      "open",
      "alice",
      { PolicyArns: Array.from({ length: 11 }, () => ({ arn: `arn:aws:iam::${ACCOUNT}:policy/ReadNothing` })) },
      "ValidationError",
    ],
    [
      "a managed policy that is not there",
      "open",
      "alice",
      { PolicyArns: [{ arn: `arn:aws:iam::${ACCOUNT}:policy/No` }] },
      "MalformedPolicyDocument",
    ],
  ])("%s", async (_why, name, by, extra, expected) => {
    expect((await outcome(assume(name, keys[by], extra))).replace(/Exception$/, "")).toBe(expected);
  });

  test("messages as recorded from AWS", async () => {
    const message = (extra: Partial<AssumeRoleCommandInput>): Promise<string> =>
      assume("open", keys.alice, extra).then(
        () => "ok",
        (error: Error) => error.message,
      );
    for (const bad of ["nothing-valid-in-here", "arn::b:::something/test-role", "arn:a:a::aaaaaaaaaa:"])
      expect(await message({ RoleArn: bad })).toBe(`${bad} is invalid`);
    expect(await message({ RoleSessionName: "Session1:2" })).toBe(
      "1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*",
    );
    const Tags = [{ Key: "a", Value: "1" }];
    expect(await message({ Tags, TransitiveTagKeys: ["b"] })).toBe(
      "The specified transitive tag key must be included in the requested tags.",
    );
    expect(await message({ Tags: [...Tags, { Key: "A", Value: "2" }] })).toBe(
      "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
    );
  });

  test("a managed policy of another account is none", async () => {
    const PolicyArns = [{ arn: `arn:aws:iam::${PARTNER}:policy/Theirs` }];
    expect(await outcome(assume("open", keys.alice, { PolicyArns }))).toMatch(/^MalformedPolicyDocument/);
    const federation = bed.sts(keys.alice).send(new GetFederationTokenCommand({ Name: "carol", PolicyArns }));
    expect(await outcome(federation)).toMatch(/^MalformedPolicyDocument/);
  });

  test("session policies narrow, inline and managed", async () => {
    const Policy = JSON.stringify(allow("kms:DescribeKey"));
    expect((await assume("open", keys.alice, { Policy })).PackedPolicySize).toBeGreaterThan(0);
    expect(await use(await become("open", keys.alice, { Policy }))).toBe("AccessDeniedException");
    const wide = await become("open", keys.alice, { Policy: JSON.stringify(allow("kms:*")) });
    expect(await use(wide)).toBe("ok");
    const PolicyArns = [{ arn: `arn:aws:iam::${ACCOUNT}:policy/ReadNothing` }];
    expect(await use(await become("open", keys.alice, { PolicyArns }))).toBe("AccessDeniedException");
  });

  test("a chain lasts an hour, and transitive tags stay", async () => {
    const Tags = [{ Key: "Team", Value: "red" }];
    const first = await become("open", keys.alice, { Tags, TransitiveTagKeys: ["Team"] });
    expect(await outcome(assume("open", first, { DurationSeconds: 3_601 }))).toBe("ValidationError");
    const second = await become("second", first, { DurationSeconds: 3_600 });
    await use(second);
    expect(bed.calls.at(-1)?.caller.context.get("aws:principaltag/team")).toEqual(["red"]);
    const override = assume("second", first, { Tags: [{ Key: "team", Value: "green" }] });
    await expect(override).rejects.toMatchObject({ name: "InvalidParameterValue" });
  });

  test("a source identity stays through a chain", async () => {
    const first = await become("named", keys.alice, { SourceIdentity: "alice" });
    expect((await assume("named", first)).SourceIdentity).toBe("alice");
    expect(await outcome(assume("named", first, { SourceIdentity: "bob" }))).toBe("AccessDenied");
    expect(await outcome(assume("open", first))).toBe("AccessDenied");
    await use(first);
    expect(bed.calls.at(-1)?.caller.context.get("aws:sourceidentity")).toEqual(["alice"]);
  });

  test("a federated user assumes no role, whatever its policies say", async () => {
    const input = { Name: "carol", Policy: JSON.stringify(allow(["sts:*", "kms:*"])) };
    const { Credentials: given } = await bed.sts(keys.alice).send(new GetFederationTokenCommand(input));
    const carol = keysOf(given);
    expect(await use(carol)).toBe("ok");
    expect(await outcome(assume("open", carol))).toBe("AccessDenied");
  });
});

describe("GetSessionToken and GetFederationToken", () => {
  test("the user again, for half a day; not from a session", async () => {
    const { Credentials: given } = await bed.sts(keys.alice).send(new GetSessionTokenCommand({}));
    expect(given?.Expiration).toEqual(new Date(NOW.getTime() + 43_200_000));
    const session = keysOf(given);
    expect(await use(session)).toBe("ok");
    expect(bed.calls.at(-1)?.caller).toMatchObject({ type: "user", name: "alice" });
    expect(bed.calls.at(-1)?.caller.context.get("aws:multifactorauthpresent")).toEqual(["false"]);
    expect(await outcome(bed.sts(session).send(new GetSessionTokenCommand({})))).toBe("AccessDenied");
  });

  test("root's last an hour at most", async () => {
    const { Credentials: given } = await bed.sts(keys.root).send(new GetSessionTokenCommand({}));
    expect(given?.Expiration).toEqual(new Date(NOW.getTime() + 3_600_000));
  });

  test("with MFA, also a step ago and not two; each code once", async () => {
    bed.offsetMs = 300_000;
    const ask = (ago: number) =>
      outcome(
        bed.sts(keys.alice).send(
          new GetSessionTokenCommand({
            SerialNumber: SERIAL,
            TokenCode: oneTimeCode(SEED, NOW.getTime() / 30_000 + 10 - ago),
          }),
        ),
      );
    expect([await ask(0), await ask(1), await ask(2)]).toEqual(["ok", "ok", "AccessDenied"]);
    expect([await ask(0), await ask(1), await ask(-1)]).toEqual(["AccessDenied", "AccessDenied", "ok"]);
    bed.offsetMs = 0;
  });

  test("the age of MFA grows with the session: nine minutes are below ten, ten are not", async () => {
    const TokenCode = oneTimeCode(SEED, NOW.getTime() / 30_000 + 1);
    const { Credentials: given } = await bed
      .sts(keys.alice)
      .send(new GetSessionTokenCommand({ SerialNumber: SERIAL, TokenCode }));
    const assumeAt = async (seconds: number): Promise<string> => {
      bed.offsetMs = seconds * 1_000;
      return outcome(assume("recent-mfa", keysOf(given)));
    };
    expect([await assumeAt(0), await assumeAt(599), await assumeAt(600)]).toEqual(["ok", "ok", "AccessDenied"]);
    bed.offsetMs = 0;
  });

  test("the one-time code of RFC 6238, appendix B", () => {
    expect(oneTimeCode(SEED, 1)).toBe("287082");
    expect(oneTimeCode(SEED, 37_037_036)).toBe("081804");
  });

  test("a federated user may do what both allow, and nothing without a policy", async () => {
    const federate = async (Policy?: string): Promise<string> => {
      const input = { Name: "carol", ...(Policy === undefined ? {} : { Policy }) };
      const answer = await bed.sts(keys.alice).send(new GetFederationTokenCommand(input));
      expect(answer.FederatedUser).toEqual({
        ...{ Arn: `arn:aws:sts::${ACCOUNT}:federated-user/carol`, FederatedUserId: `${ACCOUNT}:carol` },
      });
      return use(keysOf(answer.Credentials));
    };
    expect(await federate(JSON.stringify(allow("kms:*")))).toBe("ok");
    expect(await federate(JSON.stringify(allow("kms:Decrypt")))).toBe("AccessDeniedException");
    expect(await federate()).toBe("AccessDeniedException");
    expect(await outcome(bed.sts(keys.bob).send(new GetFederationTokenCommand({ Name: "carol" })))).toBe(
      "AccessDenied",
    );
  });
});

describe("the rest", () => {
  test("GetAccessKeyInfo reads the account from the key's name, ours or not", async () => {
    const ask = async (AccessKeyId: string) =>
      (await bed.sts(keys.alice).send(new GetAccessKeyInfoCommand({ AccessKeyId }))).Account;
    const { accessKeyId } = await become("open", keys.alice);
    expect(await ask(accessKeyId)).toBe(ACCOUNT);
    expect(await ask("ASIAY34FZKBOKMUTVV7A")).toBe("609629065308");
  });

  test("DecodeAuthorizationMessage knows none", async () => {
    const call = bed.sts(keys.alice).send(new DecodeAuthorizationMessageCommand({ EncodedMessage: "x" }));
    expect(await outcome(call)).toBe("InvalidAuthorizationMessageException");
  });
});

test("live sessions are bounded; those that ran out make room", async () => {
  await using small = await startBed(accounts, { maxSessions: 2 });
  const ask = () => outcome(small.sts(keys.alice).send(new GetSessionTokenCommand({ DurationSeconds: 900 })));
  const old = keysOf(
    (await small.sts(keys.alice).send(new GetSessionTokenCommand({ DurationSeconds: 900 }))).Credentials,
  );
  const who = () => outcome(small.sts(old).send(new GetCallerIdentityCommand({})));
  expect([await who(), await ask()]).toEqual(["ok", "ok"]);
  expect(await ask()).toBe("Throttling");
  small.offsetMs = 900_000;
  expect(await who()).toBe("ExpiredToken");
  expect(await ask()).toBe("ok");
  expect(await who()).toBe("InvalidClientTokenId");
  expect(small.directory.snapshot().sessions).toHaveLength(1);
});
