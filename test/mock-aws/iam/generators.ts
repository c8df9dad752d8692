/** Small alphabets of callers, policies and contexts, so that what is generated often matches. */
import fc from "fast-check";
import type { Caller } from "../../../mock/aws/iam/principal.ts";
import type { Case, RawCondition, RawContext, RawPolicy, RawStatement } from "./reference.ts";

export const OWNER = "111122223333";
export const OTHER = "444455556666";
export const KEY = `arn:aws:kms:eu-central-1:${OWNER}:key/a`;

function caller(change: Pick<Caller, "type" | "name" | "principalArn" | "userId"> & Partial<Caller>): Caller {
  const common = { partition: "aws", accountId: OWNER, accessKeyId: "AKIAEXAMPLE", context: new Map() } as const;
  return { ...common, arn: change.principalArn, ...change };
}

const USER = `arn:aws:iam::${OWNER}:user/team/ann`;
const USER_ID = "AIDA234567ABCDEFGHIJ";
const ROLE_ID = "AROA234567ABCDEFGHIJ";
const role = (accountId: string, session: string, userId: string): Caller =>
  caller({
    ...{ type: "role", name: "data", accountId, userId: `${userId}:${session}` },
    principalArn: `arn:aws:iam::${accountId}:role/svc/data`,
    arn: `arn:aws:sts::${accountId}:assumed-role/data/${session}`,
  });

export const callers = {
  root: caller({ type: "root", name: "root", principalArn: `arn:aws:iam::${OWNER}:root`, userId: OWNER }),
  user: caller({ type: "user", name: "ann", principalArn: USER, userId: USER_ID }),
  session: role(OWNER, "one", ROLE_ID),
  otherSession: role(OWNER, "two", ROLE_ID),
  cognito: { ...role(OWNER, "web", ROLE_ID), federatedProvider: "cognito-identity.amazonaws.com" },
  foreign: role(OTHER, "one", "AROAZZZZZZZZZZZZZZZZ"),
  federated: caller({
    ...{ type: "federated-user", name: "fed", userId: `${OWNER}:fed`, issuerArn: USER },
    principalArn: `arn:aws:sts::${OWNER}:federated-user/fed`,
  }),
  service: caller({ type: "service", name: "logs.amazonaws.com", accountId: "", principalArn: "", userId: "" }),
} as const satisfies Record<string, Caller>;

/** `${name}`, as policies write it. */
const variable = (name: string): string => `$\{${name}}`;

const some = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const lists = <T>(one: fc.Arbitrary<T>, most: number): fc.Arbitrary<T[]> =>
  fc.array(one, { minLength: 1, maxLength: most });

const awsNames = some(
  ...["*", OWNER, OTHER, `arn:aws:iam::${OWNER}:root`, `arn:aws-cn:iam::${OWNER}:root`, `arn:aws:iam::${OTHER}:root`],
  ...Object.values(callers).flatMap(({ arn, principalArn }) => (arn === "" ? [] : [arn, principalArn])),
  ...[USER_ID, ROLE_ID],
);
const principals = fc.oneof(
  { weight: 1, arbitrary: some("*" as unknown) },
  { weight: 6, arbitrary: lists(awsNames, 3).map((AWS): unknown => ({ AWS })) },
  { weight: 1, arbitrary: some<unknown>({ Service: "logs.amazonaws.com" }, { Service: ["s3.amazonaws.com"] }) },
  { weight: 1, arbitrary: some<unknown>({ Federated: "cognito-identity.amazonaws.com", AWS: OTHER }) },
);
const { session: one, user: ann } = callers;
/** Mostly all the levels that `NotPrincipal` may ask for. */
const levels = fc.subarray([OWNER, one.principalArn, one.arn, ann.arn], { minLength: 2 });
const principal = fc.oneof(
  { weight: 5, arbitrary: principals.map((Principal) => ({ Principal })) },
  { weight: 1, arbitrary: principals.map((NotPrincipal) => ({ NotPrincipal })) },
  { weight: 1, arbitrary: levels.map((AWS) => ({ NotPrincipal: { AWS } })) },
);

const actions = lists(some("*", "kms:*", "kms:Decrypt", "KMS:de*", "kms:Encrypt", "kms:?ecrypt", "s3:*"), 2);
const resources = lists(
  some(
    ...["*", KEY, "arn:aws:*a", "arn:aws:kms:*:key/?", `${KEY}b`, "arn:aws:kms:eu-*/b"],
    ...["text", "name", "list", "gone, 'a'", "gone"].map((name) => `arn:aws:kms:*/${variable(name)}`),
  ),
  2,
);
const flip = <T>(name: string, one: fc.Arbitrary<T>, optional: boolean): fc.Arbitrary<Record<string, unknown>> =>
  fc.oneof(
    { weight: 8, arbitrary: one.map((values) => ({ [name]: values })) },
    { weight: 1, arbitrary: one.map((values) => ({ [`Not${name}`]: values })) },
    { weight: optional ? 1 : 0, arbitrary: some({}) },
  );

/** Values a request may say and a policy may demand, by the kind of key. */
const texts = ["a", "A", "b", "", "ab", "*", "a*", "?b", "a:b"];
const ALPHABETS = {
  String: [texts, [...texts, "*b", "?", ...["name", "*", "?", "$", "gone", "gone, 'a'", "list"].map(variable)]],
  Numeric: [
    ["1", "2.0", "-3", "x"],
    ["1", "1.0", "2", "-3"],
  ],
  Date: [
    ["2026-03-01T12:00:00Z", "1772366400", "never", "2026"],
    ["2026-03-01T12:00:00Z", "1772366401", "2026-03-01", "2026-03", "2026-01", "2025"],
  ],
  Bool: [
    ["true", "false"],
    ["true", "FALSE", variable("flag")],
  ],
  Binary: [
    ["YQ==", "Yg==", "AAAA"],
    ["YQ==", "AAAA"],
  ],
  Ip: [
    ["10.1.2.3", "10.1.3.4", "2001:db8::1", "::1", "here"],
    ["10.1.2.0/24", "10.1.2.0/23", "10.0.0.0/8", "10.1.3.4", "0.0.0.0/0", "2001:db8::/32", "2001:db8:0:0::1", "::/0"],
  ],
  Arn: [
    ["arn:aws:iam::1:role/a", "arn:aws:iam::1:role/a:b/c", "arn:aws:iam::2:user/a", "arn:aws:iam", "a"],
    [
      `arn:aws:iam::${variable("gone:x, '1'")}:role/a`,
      "arn:aws:iam::1:role/*",
      "arn:*:iam::*:*",
      "arn:aws:iam:*:role/a",
      `arn:aws:iam::1:role/${variable("name")}`,
      "*",
    ],
  ],
} as const;
const ORDERS = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"];
const NAMES = {
  String: ["Equals", "NotEquals", "Like", "NotLike", "EqualsIgnoreCase", "NotEqualsIgnoreCase"].map(
    (n) => `String${n}`,
  ),
  Numeric: ORDERS.map((order) => `Numeric${order}`),
  Date: ORDERS.map((order) => `Date${order}`),
  Bool: ["Bool"],
  Binary: ["BinaryEquals"],
  Ip: ["IpAddress", "NotIpAddress"],
  Arn: ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
} as const;
const KEYS = { String: ["text", "list", "none"], Numeric: ["number"], Date: ["date"], Bool: ["flag"] } as const;
const keysOf = (kind: keyof typeof NAMES): readonly string[] =>
  kind in KEYS ? KEYS[kind as keyof typeof KEYS] : [kind.toLowerCase()];

const compared = some(...(Object.keys(NAMES) as (keyof typeof NAMES)[]), "String" as const, "String" as const).chain(
  (kind) =>
    fc
      .tuple(some("", "", "", "ForAllValues:", "ForAnyValue:"), some(...NAMES[kind]), some("", "", "IfExists"))
      .chain(([set, name, suffix]) =>
        fc.record({
          operator: some(`${set}${name}${suffix}`),
          key: some(...keysOf(kind), ...keysOf(kind).map((key) => key.toUpperCase())),
          values: lists(some<string>(...ALPHABETS[kind][1]), 3),
        }),
      ),
);
const isNull = fc.record({
  operator: some("Null"),
  key: some("text", "list", "none"),
  values: some(["true"], ["False"]),
});

export const rawCondition: fc.Arbitrary<RawCondition> = fc.oneof(
  { weight: 12, arbitrary: compared },
  { weight: 1, arbitrary: isNull },
);

const entry = (key: string, kind: keyof typeof ALPHABETS, most: number): fc.Arbitrary<RawContext> =>
  fc
    .array(some<string>(...ALPHABETS[kind][0]), { minLength: 0, maxLength: most })
    .map((values) => (values.length === 0 ? ({} as RawContext) : { [key]: values }));
export const rawContext: fc.Arbitrary<RawContext> = fc
  .tuple(
    ...[
      entry("text", "String", 1),
      entry("list", "String", 3),
      entry("number", "Numeric", 1),
      entry("date", "Date", 2),
    ],
    ...[entry("flag", "Bool", 1), entry("binary", "Binary", 2), entry("ip", "Ip", 2), entry("arn", "Arn", 2)],
    some<RawContext>({ name: ["a"] }, { name: ["*"] }, { name: ["a:b"] }, {}),
  )
  .map((parts) => Object.assign({}, ...parts) as RawContext);

const conditions = fc
  .oneof({ weight: 3, arbitrary: some<RawCondition[]>([]) }, { weight: 2, arbitrary: lists(rawCondition, 2) })
  .map((list) => {
    const block: Record<string, Record<string, readonly string[]>> = {};
    for (const { operator, key, values } of list) block[operator] = { ...block[operator], [key]: values };
    return list.length === 0 ? {} : { Condition: block };
  });

function statements(kind: "resource" | "identity", denials: number): fc.Arbitrary<RawStatement> {
  const isResource = kind === "resource";
  return fc
    .tuple(
      fc.oneof(
        { weight: 10, arbitrary: some("Allow" as const) },
        { weight: denials, arbitrary: some("Deny" as const) },
      ),
      ...[isResource ? principal : some({}), flip("Action", actions, isResource)],
      ...[flip("Resource", resources, isResource), conditions],
    )
    .map(([Effect, ...rest]): RawStatement => Object.assign({ Effect }, ...rest) as RawStatement);
}

function policies(kind: "resource" | "identity", denials = 2): fc.Arbitrary<RawPolicy> {
  const version = some("2012-10-17" as const, "2012-10-17" as const, "2008-10-17" as const);
  return fc.record({ Version: version, Statement: lists(statements(kind, denials), 4) });
}

export const cases: fc.Arbitrary<Case> = fc.record({
  caller: some<Caller>(...Object.values(callers), callers.session, callers.user),
  action: some("kms:Decrypt", "kms:Encrypt"),
  resource: some(KEY, `${KEY}b`),
  context: rawContext,
  identity: fc.array(policies("identity"), { maxLength: 2 }),
  boundary: fc.option(policies("identity"), { freq: 2 }),
  session: fc.option(fc.array(policies("identity"), { maxLength: 2 }), { freq: 2 }),
  keyPolicy: fc.option(policies("resource", 4), { freq: 8 }),
  identitySuffices: some(false, false, false, true),
  hasGrant: some(false, false, false, false, false, false, false, false, true),
});
