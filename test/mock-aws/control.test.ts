/** Starting it: options, the guard against production, and the process that is driven by JSON lines. */
import { PassThrough } from "node:stream";
import { CreateKeyCommand } from "@aws-sdk/client-kms";
import { describe, expect, test } from "vitest";
import { mockAwsControl } from "../../mock/aws/control.ts";
import { startEmulator } from "../../mock/aws/emulator.ts";
import { newCredentials, startMockAws } from "../../mock/aws/index.ts";
import type { MockAwsOptions } from "../../mock/aws/options.ts";
import type { TrailRecord } from "../../mock/aws/trail.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { serveControl } from "../../transport/control.ts";
import { allow, clientOf, identities, OWNER, options, REGION, readFakeDocument } from "./testbed.ts";

async function configCode(options: MockAwsOptions, nodeEnv?: string): Promise<string> {
  const dependencies = { authenticate: readFakeDocument, nodeEnv, onBug: () => {} };
  const started = startEmulator(options, dependencies).then(async (aws) => {
    await aws.close();
    return "started";
  });
  return started.catch((error: unknown) =>
    isConfigError(error) ? `${error.code} ${error.message.split(" ")[0]}` : "?",
  );
}

const INVALID = "ERR_CONFIG_FIELD_INVALID";
const credentials = newCredentials();
const withPrincipal = (change: object): Partial<MockAwsOptions> => {
  const principal = { type: "role", name: "r", identityPolicies: [allow("kms:*")], credentials: [credentials] };
  return { accounts: [{ accountId: OWNER, principals: [{ ...principal, ...change } as never] }] };
};
const first = "accounts[0].principals[0]";

describe("starting", () => {
  test.each([
    ["as it should be", {}, "started"],
    ["no region", { regions: [] }, `${INVALID} regions`],
    ["a region that is none", { regions: ["moon"] }, `${INVALID} regions[0]`],
    ["a port that is none", { port: 65_536 }, `${INVALID} port`],
    ["an age that is none", { maxDocumentAgeMs: 0 }, `${INVALID} maxDocumentAgeMs`],
    ["no age limit", { maxDocumentAgeMs: Number.POSITIVE_INFINITY }, `${INVALID} maxDocumentAgeMs`],
    [
      "an account id of 11 digits",
      { accounts: [{ accountId: "1".repeat(11), principals: [] }] },
      `${INVALID} accounts[0].accountId`,
    ],
    ["a name with a slash", withPrincipal({ name: "a/b" }), `${INVALID} ${first}.name`],
    ["a policy that is none", withPrincipal({ identityPolicies: [{}] }), `${INVALID} ${first}.identityPolicies[0]`],
    [
      "a role without a session token",
      withPrincipal({ credentials: [{ ...credentials, sessionToken: undefined }] }),
      `${INVALID} ${first}.credentials[0].sessionToken`,
    ],
    [
      "one access key twice",
      withPrincipal({ credentials: [credentials, credentials] }),
      `${INVALID} ${first}.credentials[1].accessKeyId`,
    ],
    [
      "a user with a session",
      withPrincipal({ type: "user", credentials: [{ ...credentials, sessionName: "ab" }] }),
      `${INVALID} ${first}.credentials[0].sessionName`,
    ],
  ] as const)("%s → %s", async (_why, change, expected) => {
    expect(await configCode(options(change as Partial<MockAwsOptions>))).toBe(expected);
  });

  test("K44 production → refused, by whoever starts it", async () => {
    expect(await configCode(options(), "production")).toBe(`${INVALID} NODE_ENV`);
    const before = process.env["NODE_ENV"];
    process.env["NODE_ENV"] = "production";
    try {
      await expect(async () => startMockAws(options())).rejects.toMatchObject({ code: INVALID });
    } finally {
      process.env["NODE_ENV"] = before;
    }
  });

  test("new credentials look like STS's, each its own", () => {
    const [a, b] = [newCredentials(), newCredentials()];
    expect(a.accessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/);
    expect(a.secretAccessKey).toMatch(/^[A-Za-z0-9+/]{40}$/);
    expect(new Set([...Object.values(a), ...Object.values(b)]).size).toBe(6);
  });
});

describe("control", () => {
  function drive() {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const control = mockAwsControl((given) =>
      startEmulator(given, { authenticate: readFakeDocument, nodeEnv: "test", onBug: () => {} }),
    );
    const ended = new Promise<void>((resolve) => {
      serveControl(input, output, control.handlers, () => void control.close().then(resolve));
    });
    let id = 0;
    const call = async (
      method: string,
      params: object = {},
    ): Promise<{ result?: unknown; error?: { code: string } }> => {
      const line = new Promise<string>((resolve) => output.once("data", (chunk) => resolve(String(chunk))));
      input.write(`${JSON.stringify({ id: ++id, method, params })}\n`);
      return JSON.parse(await line) as { result?: unknown };
    };
    return { call, end: () => input.end(), ended };
  }

  test("start, use, trail, end", async () => {
    const { accounts, regions } = options();
    const { call, end, ended } = drive();
    expect((await call("trail")).error?.code).toBe("ERR_CONFIG_FIELD_MISSING");
    const started = await call("start", { options: { accounts, regions, attestationRoots: [] } });
    const { port, caCertificatePem } = started.result as { port: number; caCertificatePem: string };
    expect((await call("start", { options: {} })).error?.code).toBe(INVALID);
    const aws = { url: `https://127.0.0.1:${port}`, caCertificatePem } as Parameters<typeof clientOf>[0];
    const client = clientOf(aws, "admin");
    expect((await client.send(new CreateKeyCommand({}))).KeyMetadata?.Arn).toContain(`${REGION}:${OWNER}:key/`);
    const trail = (await call("trail")).result as TrailRecord[];
    expect(trail.map(({ event }) => event.eventName)).toEqual(["CreateKey"]);
    expect(JSON.stringify(trail)).not.toContain(identities.admin.secretAccessKey);
    const root = Buffer.from(AWS_NITRO_ROOT_G1).toString("base64");
    expect((await call("setAttestationRoots", { roots: [root] })).error).toBeUndefined();
    expect((await call("setClockOffset", { ms: 1000 })).error).toBeUndefined();
    expect((await call("injectFault", { operation: "Decrypt", answer: "throttle", times: 1 })).error).toBeUndefined();
    end();
    await ended;
    await expect(client.send(new CreateKeyCommand({}))).rejects.toMatchObject({ code: "ECONNREFUSED" });
    client.destroy();
  });

  test.each([
    ["another address", { dangerouslyListenOn: "0.0.0.0" }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["another clock", { maxClockSkewMs: 1e15 }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["a root that is none", { attestationRoots: ["AAAA"] }, INVALID],
    ["no regions", { regions: undefined }, INVALID],
  ])("does not start with %s", async (_what, change, code) => {
    const { accounts, regions } = options();
    const { call, end, ended } = drive();
    const refused = await call("start", { options: { accounts, regions, attestationRoots: [], ...change } });
    expect(refused.error?.code).toBe(code);
    end();
    await ended;
  });

  test("a credential's time is ISO 8601", async () => {
    const [account] = options().accounts;
    const [principal] = account?.principals ?? [];
    const accounts = (expiresAt: string) => [
      { ...account, principals: [{ ...principal, credentials: [{ ...identities.admin, expiresAt }] }] },
    ];
    for (const [expiresAt, code] of [
      ["2999-01-01T00:00:00Z", undefined],
      ["in 2999", INVALID],
    ] as const) {
      const { call, end, ended } = drive();
      const started = await call("start", {
        options: { accounts: accounts(expiresAt), regions: [REGION], attestationRoots: [] },
      });
      expect(started.error?.code).toBe(code);
      end();
      await ended;
    }
  });

  test.each([
    ["setAttestationRoots", { roots: "AAAA" }],
    ["setAttestationRoots", { roots: ["AAAA"] }],
    ["setAttestationRoots", { roots: [7] }],
    ["setClockOffset", { ms: "1" }],
    ["injectFault", { operation: "Encrypt", answer: "plaintext", times: 1 }],
    ["injectFault", { operation: "Decrypt", answer: "latency", times: 1, latencyMs: "1" }],
    ["injectFault", { operation: 7, answer: "throttle", times: 1 }],
    ["injectFault", { operation: "Decrypt", answer: "kindness", times: 1 }],
  ])("%s %o → refused", async (method, params) => {
    const { accounts, regions } = options();
    const { call, end, ended } = drive();
    await call("start", { options: { accounts, regions, attestationRoots: [] } });
    expect((await call(method, params)).error?.code).toBe(INVALID);
    end();
    await ended;
  });
});
