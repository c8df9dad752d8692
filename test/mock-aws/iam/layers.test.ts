/** How the kinds of policy limit each other: AWS's table of implicit denies, by caller and by whom the key policy names. */
import { describe, expect, test } from "vitest";
import { type ApplicablePolicies, authorize, type Decision } from "../../../mock/aws/iam/authorize.ts";
import { explainDecision } from "../../../mock/aws/iam/explain.ts";
import { parsePolicy } from "../../../mock/aws/iam/policy.ts";
import type { Caller } from "../../../mock/aws/iam/principal.ts";
import { callers, KEY, OTHER, OWNER } from "./generators.ts";

const { root, user, session, foreign, federated, service, cognito } = callers;
const ROOT = `arn:aws:iam::${OWNER}:root`;
const all = { Effect: "Allow", Action: "kms:*", Resource: "*" };
const text = (...Statement: readonly object[]): string => JSON.stringify({ Version: "2012-10-17", Statement });
const identity = (name: string, ...statements: readonly object[]) => ({
  name,
  policy: parsePolicy(text(...statements), "identity"),
});
const yes = identity("yes", all);
const other = identity("other", { ...all, Action: "s3:*" });
const no = identity("no", { ...all, Effect: "Deny" });

type Own = Omit<Partial<ApplicablePolicies>, "resourcePolicy"> & { readonly identitySuffices?: boolean };

/** `named` is the key policy's Principal; null for a key policy that names somebody else. */
function decide(caller: Caller, named: unknown, { identitySuffices = false, ...own }: Own = {}): Decision {
  const statement = { ...all, Principal: named ?? { AWS: `arn:aws:iam::${OWNER}:user/nobody` } };
  const resourcePolicy = { name: "key policy", policy: parsePolicy(text(statement), "resource"), accountId: OWNER };
  return authorize(
    { caller, action: "kms:Decrypt", resource: KEY, context: new Map() },
    { identityPolicies: [], ...own, resourcePolicy: { ...resourcePolicy, identitySuffices } },
  );
}

const lacks = (kind: string): string => `because no ${kind} allows the kms:Decrypt action`;
const NONE = "";
const boundary = { permissionsBoundary: other };
const limited = { ...boundary, sessionPolicies: [other] };

type Row = readonly [why: string, caller: Caller, named: unknown, own: Own, because: string];
const rows: readonly Row[] = [
  ["role ARN, no caps", session, { AWS: session.principalArn }, {}, NONE],
  ["role ARN under a boundary", session, { AWS: session.principalArn }, boundary, lacks("permissions boundary")],
  [
    ...(["role ARN under a session policy", session, { AWS: session.principalArn }] as const),
    ...([{ identityPolicies: [yes], sessionPolicies: [other] }, lacks("session policy")] as const),
  ],
  ["session ARN past both", session, { AWS: session.arn }, limited, NONE],
  ["role ARN beside session ARN", session, { AWS: [session.principalArn, session.arn] }, limited, NONE],
  ["everyone, past both", session, "*", limited, NONE],
  ["user ARN past a boundary", user, { AWS: user.arn }, boundary, NONE],
  ["account, no identity policy", session, { AWS: ROOT }, {}, lacks("identity-based policy")],
  [
    ...(["account under a boundary", session, { AWS: ROOT }, { identityPolicies: [yes], ...boundary }] as const),
    lacks("permissions boundary"),
  ],
  [
    ...(["account, session made with no policy in its list", session, { AWS: ROOT }] as const),
    ...([{ identityPolicies: [yes], sessionPolicies: [] }, lacks("session policy")] as const),
  ],
  ["account, all agree", session, { AWS: ROOT }, { identityPolicies: [yes], sessionPolicies: [yes, other] }, NONE],
  [
    "K25: account in another partition",
    user,
    { AWS: `arn:aws-cn:iam::${OWNER}:root` },
    {},
    lacks("resource-based policy"),
  ],
  ["root by its account", root, { AWS: OWNER }, {}, NONE],
  ["root that is not named", root, null, {}, lacks("resource-based policy")],
  ["federated user by its own ARN", federated, { AWS: federated.arn }, {}, NONE],
  [
    ...(["federated user by its issuer, without session policy", federated, { AWS: user.arn }] as const),
    ...([{ identityPolicies: [yes] }, lacks("session policy")] as const),
  ],
  ["federated user by its issuer", federated, { AWS: user.arn }, { sessionPolicies: [yes] }, NONE],
  ["a federated session by its provider", cognito, { Federated: "cognito-identity.amazonaws.com" }, limited, NONE],
  [
    "another session, by that provider",
    session,
    { Federated: "cognito-identity.amazonaws.com" },
    {},
    lacks("resource-based policy"),
  ],
  ["a service by its name", service, { Service: "logs.amazonaws.com" }, {}, NONE],
  ["a service is in no account", service, { AWS: OWNER }, {}, lacks("resource-based policy")],
  [
    "a user of a service's name",
    { ...user, name: service.name },
    { Service: service.name },
    {},
    lacks("resource-based policy"),
  ],
  ["a user by its unique id", user, { AWS: user.userId }, boundary, NONE],
  [
    "a role by its unique id, capped",
    session,
    { AWS: "AROA234567ABCDEFGHIJ" },
    boundary,
    lacks("permissions boundary"),
  ],
  ["the id of who is gone", session, { AWS: "AROA234567ABCDEFGHIK" }, {}, lacks("resource-based policy")],
  ["K25: other account, session ARN alone", foreign, { AWS: foreign.arn }, {}, lacks("identity-based policy")],
  ["K25: other account, both", foreign, { AWS: foreign.arn }, { identityPolicies: [yes] }, NONE],
  [
    ...(["K25: other account under its boundary", foreign, { AWS: OTHER }] as const),
    ...([{ identityPolicies: [yes], ...boundary }, lacks("permissions boundary")] as const),
  ],
  ["a key policy must allow", user, null, { identityPolicies: [yes] }, lacks("resource-based policy")],
  ["a bucket policy need not", user, null, { identityPolicies: [yes], identitySuffices: true }, NONE],
  [
    ...(["a bucket policy of another account must", foreign, null] as const),
    ...([{ identityPolicies: [yes], identitySuffices: true }, lacks("resource-based policy")] as const),
  ],
  [
    "K22: Deny in an identity policy",
    user,
    "*",
    { identityPolicies: [no] },
    "with an explicit deny in an identity-based policy",
  ],
  [
    "K22: Deny in a boundary",
    user,
    "*",
    { permissionsBoundary: no },
    "with an explicit deny in a permissions boundary",
  ],
  [
    "K22: Deny in a session policy",
    session,
    { AWS: session.arn },
    { sessionPolicies: [no] },
    "with an explicit deny in a session policy",
  ],
];

describe("kinds of policy together", () => {
  test.each(rows)("%s", (_why, caller, named, own, because) => {
    const decision = decide(caller, named, own);
    expect(decision.because).toBe(because);
    expect(decision.outcome).toBe(
      because === "" ? "allowed" : because.startsWith("with") ? "explicit deny" : "implicit deny",
    );
  });

  test("a grant needs nothing beside it, is named, and yields to a Deny", () => {
    const grants = [{ policy: "grant 0abc", statement: 0 }];
    const granted = decide(foreign, null, { grants, ...limited });
    expect(granted).toMatchObject({ outcome: "allowed", decidedBy: grants });
    expect(decide(user, null, { grants, identityPolicies: [no] }).outcome).toBe("explicit deny");
  });

  test("without a resource the caller's side decides", () => {
    const request = { caller: user, action: "kms:GenerateRandom", resource: "*", context: new Map() };
    expect(authorize(request, { identityPolicies: [yes] }).outcome).toBe("allowed");
    expect(authorize(request, { identityPolicies: [yes], ...boundary }).outcome).toBe("implicit deny");
    expect(authorize({ ...request, caller: root }, { identityPolicies: [] }).outcome).toBe("allowed");
  });

  test("the nearest Allow is the one of the policy that lacked", () => {
    const hourly = {
      ...all,
      Sid: "hourly",
      Condition: { DateLessThan: { "aws:CurrentTime": "2026-01-01T00:00:00Z" } },
    };
    const own = { identityPolicies: [yes], permissionsBoundary: identity("boundary", hourly) };
    expect(decide(session, { AWS: ROOT }, own).nearest).toMatchObject({ policy: "boundary", sid: "hourly" });
    expect(decide(session, { AWS: session.principalArn }, own).nearest).toMatchObject({ policy: "boundary" });
  });

  test("a Deny with NotPrincipal reaches whoever has a permissions boundary", () => {
    const spared = { ...all, Effect: "Deny", NotPrincipal: { AWS: [user.arn, ROOT] } };
    const policy = parsePolicy(text({ ...all, Principal: "*" }, spared), "resource");
    const request = { caller: user, action: "kms:Decrypt", resource: KEY, context: new Map() };
    const policies = { identityPolicies: [], resourcePolicy: { name: "key policy", policy, accountId: OWNER } };
    expect(authorize(request, policies).outcome).toBe("allowed");
    expect(authorize(request, { ...policies, permissionsBoundary: yes }).outcome).toBe("explicit deny");
  });
});

describe("explainDecision", () => {
  test("an Allow names the statements that made it", () => {
    expect(explainDecision(decide(session, { AWS: ROOT }, { identityPolicies: [yes], sessionPolicies: [yes] }))).toBe(
      [
        "allowed",
        "  allowed by key policy statement 0",
        "  allowed by yes statement 0",
        "  allowed by yes statement 0",
      ].join("\n"),
    );
  });

  test("a Deny names every statement that denies", () => {
    expect(explainDecision(decide(session, "*", { identityPolicies: [no], sessionPolicies: [no] }))).toBe(
      [
        "explicit deny with an explicit deny in an identity-based policy",
        ...["  denied by no statement 0", "  denied by no statement 0"],
      ].join("\n"),
    );
  });

  test("K19: an implicit deny says what the nearest Allow expected and what came", () => {
    const Condition = { StringEquals: { "kms:RecipientAttestation:PCR0": ["aa", "bb"], "kms:ViaService": "s3" } };
    const near = { ...all, Sid: "attested", Principal: "*", Condition };
    const policy = parsePolicy(text({ ...all, Action: "kms:Sign", Principal: "*" }, near), "resource");
    const context = new Map([["kms:viaservice", ["ebs"]]]);
    const decision = authorize(
      { caller: user, action: "kms:Decrypt", resource: KEY, context },
      { identityPolicies: [], resourcePolicy: { name: "key policy", policy, accountId: OWNER } },
    );
    expect(explainDecision(decision)).toBe(
      [
        `implicit deny ${lacks("resource-based policy")}`,
        '  nearest allow: key policy statement 1 "attested"',
        ...["    StringEquals kms:RecipientAttestation:PCR0", "      expected aa or bb", "      actual   absent"],
        ...["    StringEquals kms:ViaService", "      expected s3", "      actual   ebs"],
      ].join("\n"),
    );
  });

  test("or for what else it was", () => {
    expect(explainDecision(decide(user, null)).split("\n").at(-1)).toBe("    it is for another principal");
  });
});
