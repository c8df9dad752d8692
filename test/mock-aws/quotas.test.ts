/** Quotas: off, AWS's, custom; by account, Region and second; shown and raised through Service Quotas. */
import { createHash, createHmac } from "node:crypto";
import { CreateKeyCommand, DescribeKeyCommand, GenerateRandomCommand, type KMSClient } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { defaultQuotas, type QuotaOption, Quotas } from "../../mock/aws/kms/quotas.ts";
import { clientOf, identities, NOW, OWNER, options, REGION, startTestbed, type Who } from "./testbed.ts";

const SYMMETRIC = "Cryptographic operations (symmetric) request rate";

let aws: MockAws;
let offsetMs = 0;
const clients: KMSClient[] = [];
beforeAll(async () => {
  const { accounts } = options();
  const deputy = {
    ...{ type: "role" as const, name: "deputy", identityPolicies: [policyOf("servicequotas:*")] },
    credentials: [{ ...identities.admin, accessKeyId: "ASIADEPUTYDEPUTY0000", sessionName: "raise" }],
  };
  const [owner, ...others] = accounts;
  if (!owner) expect.unreachable();
  aws = await startTestbed({
    accounts: [{ ...owner, principals: [...owner.principals, deputy] }, ...others],
    now: () => new Date(NOW.getTime() + offsetMs),
  });
});
afterAll(async () => {
  for (const client of clients) client.destroy();
  await aws.close();
});
beforeEach(() => {
  offsetMs += 10_000; // a second that nobody has used
  aws.reset();
});

function policyOf(action: string) {
  return { Version: "2012-10-17" as const, Statement: [{ Effect: "Allow" as const, Action: action, Resource: "*" }] };
}

function client(who: Who = "admin", region = REGION): KMSClient {
  const made = clientOf(aws, who, region);
  made.config.maxAttempts = async () => 1;
  clients.push(made);
  return made;
}

/** How many of so many calls in one second are refused as throttled. */
async function throttledOf(count: number, kms: KMSClient): Promise<number> {
  let throttled = 0;
  for (let i = 0; i < count; i++)
    await kms.send(new GenerateRandomCommand({ NumberOfBytes: 1 })).catch((error: Error) => {
      expect(error.name).toBe("ThrottlingException");
      throttled++;
    });
  return throttled;
}

describe("what is none", () => {
  const cases: readonly (readonly [string, unknown, string])[] = [
    ["a name that AWS has not", { "CreateKey rate": 1 }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["an inherited name", { constructor: 1 }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["a text", { [SYMMETRIC]: "1" }, "ERR_CONFIG_FIELD_INVALID"],
    ["below 0", { [SYMMETRIC]: -1 }, "ERR_CONFIG_FIELD_INVALID"],
    ["without an end", { [SYMMETRIC]: Number.POSITIVE_INFINITY }, "ERR_CONFIG_FIELD_INVALID"],
    ["another word", "on", "ERR_CONFIG_FIELD_INVALID"],
    ["nothing", null, "ERR_CONFIG_FIELD_INVALID"],
    ["a list", [1], "ERR_CONFIG_FIELD_INVALID"],
  ];
  test.each(cases)("%s: refused at the start, and later", async (_what, quotas, code) => {
    expect(() => new Quotas(quotas as QuotaOption)).toThrow(expect.objectContaining({ code }));
    expect(() => aws.setQuotas(quotas as QuotaOption)).toThrow(expect.objectContaining({ code }));
    await expect(startTestbed({ kms: { quotas: quotas as QuotaOption } })).rejects.toMatchObject({ code });
    expect(aws.status().quotas).toBe("off");
  });

  test("what its maker changes later does not count", () => {
    const option = { [SYMMETRIC]: 1 };
    aws.setQuotas(option);
    option[SYMMETRIC] = 5;
    expect(aws.status().quotas).toEqual({ [SYMMETRIC]: 1 });
  });
});

/** A call of Service Quotas, signed by hand: its SDK is not among the dependencies. */
async function ask(operation: string, input: object, signer: "deputy" | Who = "deputy", region = REGION) {
  const secret =
    signer === "deputy" ? { ...identities.admin, accessKeyId: "ASIADEPUTYDEPUTY0000" } : identities[signer];
  const body = JSON.stringify(input);
  const date = new Date(NOW.getTime() + offsetMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const headers: Record<string, string> = {
    "content-type": "application/x-amz-json-1.1",
    host: new URL(aws.url).host,
    "x-amz-date": date,
    "x-amz-security-token": secret.sessionToken,
    "x-amz-target": `ServiceQuotasV20190624.${operation}`,
  };
  const names = Object.keys(headers).join(";");
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
  const canonical = `POST\n/\n\n${lines.join("")}\n${names}\n${digest(body)}`;
  const scope = `${date.slice(0, 8)}/${region}/servicequotas/aws4_request`;
  const key = scope
    .split("/")
    .reduce<Buffer | string>(
      (k, part) => createHmac("sha256", k).update(part).digest(),
      `AWS4${secret.secretAccessKey}`,
    );
  const signature = createHmac("sha256", key).update(`AWS4-HMAC-SHA256\n${date}\n${scope}\n${digest(canonical)}`);
  const authorization = `AWS4-HMAC-SHA256 Credential=${secret.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature.digest("hex")}`;
  const { request } = await import("node:https");
  return new Promise<{ status: number; body: Record<string, never> }>((resolve, reject) => {
    const sent = request(aws.url, { method: "POST", headers: { ...headers, authorization }, ca: aws.caCertificatePem });
    sent.on("error", reject).on("response", (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.end(body);
  });
}

interface Shown {
  readonly QuotaCode: string;
  readonly QuotaName: string;
  readonly Value: number;
}

async function codeOf(name: string): Promise<string> {
  const { body } = await ask("ListServiceQuotas", { ServiceCode: "kms" });
  const quota = (body["Quotas"] as unknown as readonly Shown[]).find(({ QuotaName }) => QuotaName === name);
  return quota?.QuotaCode ?? "none";
}

describe("throttling", () => {
  test("is off unless asked for", async () => {
    aws.setQuotas("off");
    expect(await throttledOf(8, client())).toBe(0);
  });

  test("one more than the quota in one second; the next second is free", async () => {
    aws.setQuotas({ [SYMMETRIC]: 3 });
    const kms = client();
    expect(await throttledOf(5, kms)).toBe(2);
    offsetMs += 1000;
    expect(await throttledOf(3, kms)).toBe(0);
  });

  test("by account and by Region", async () => {
    aws.setQuotas({ [SYMMETRIC]: 1 });
    expect(await throttledOf(2, client())).toBe(1);
    expect(await throttledOf(1, client("partner"))).toBe(0);
    expect(await throttledOf(1, client("admin", "us-east-1"))).toBe(0);
  });

  test("AWS's values: five CreateKey in a second; another operation has its own", async () => {
    aws.setQuotas("aws");
    const kms = client();
    const made = [];
    for (let i = 0; i < 5; i++) made.push(await kms.send(new CreateKeyCommand({})));
    await expect(kms.send(new CreateKeyCommand({}))).rejects.toThrow(
      "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
    );
    await kms.send(new DescribeKeyCommand({ KeyId: made[0]?.KeyMetadata?.KeyId }));
  });

  test("a throttled call is in the trail", async () => {
    aws.setQuotas({ [SYMMETRIC]: 1 });
    await throttledOf(2, client());
    expect(aws.trail().at(-1)?.event).toMatchObject({ eventName: "GenerateRandom", errorCode: "ThrottlingException" });
    expect(aws.status().throttled).toBeGreaterThan(0);
  });
});

describe("Service Quotas", () => {
  test("lists every quota of KMS with its value, page by page", async () => {
    const seen: Shown[] = [];
    let token: string | undefined;
    do {
      const { status, body } = await ask("ListServiceQuotas", { ServiceCode: "kms", MaxResults: 20, NextToken: token });
      expect(status).toBe(200);
      seen.push(...(body["Quotas"] as unknown as Shown[]));
      token = body["NextToken"];
    } while (token !== undefined);
    const expected = defaultQuotas(REGION).map(({ name, perSecond }) => [name, perSecond]);
    expect(new Map(seen.map((quota) => [quota.QuotaName, quota.Value]))).toEqual(new Map(expected as never));
    expect(new Set(seen.map((quota) => quota.QuotaCode)).size).toBe(expected.length);
  });

  test("an increase counts at once, for this account and Region only", async () => {
    aws.setQuotas({ [SYMMETRIC]: 1 });
    const [ServiceCode, QuotaCode] = ["kms", await codeOf(SYMMETRIC)];
    const { body } = await ask("RequestServiceQuotaIncrease", { ServiceCode, QuotaCode, DesiredValue: 4 });
    expect(body["RequestedQuota"]).toMatchObject({ Status: "APPROVED", DesiredValue: 4, QuotaName: SYMMETRIC });
    expect((await ask("GetServiceQuota", { ServiceCode, QuotaCode })).body["Quota"]).toMatchObject({ Value: 4 });
    const standard = (await ask("GetAWSDefaultServiceQuota", { ServiceCode, QuotaCode })).body["Quota"];
    expect(standard).toMatchObject({ Value: 20_000, QuotaArn: `arn:aws:servicequotas:${REGION}::kms/${QuotaCode}` });
    expect(await throttledOf(5, client())).toBe(1);
    expect(await throttledOf(2, client("partner"))).toBe(1);
    expect(await throttledOf(2, client("admin", "us-east-1"))).toBe(1);
  });

  test("is gone after a reset", async () => {
    const [ServiceCode, QuotaCode] = ["kms", await codeOf(SYMMETRIC)];
    await ask("RequestServiceQuotaIncrease", { ServiceCode, QuotaCode, DesiredValue: 30_000 });
    aws.reset();
    expect((await ask("GetServiceQuota", { ServiceCode, QuotaCode })).body["Quota"]).toMatchObject({ Value: 20_000 });
  });

  test.each([
    ["another service", { ServiceCode: "ec2", QuotaCode: "L-00000000", DesiredValue: 1 }, "NoSuchResourceException"],
    ["no such code", { ServiceCode: "kms", QuotaCode: "L-00000000", DesiredValue: 1 }, "NoSuchResourceException"],
    ["no code", { ServiceCode: "kms", DesiredValue: 1 }, "ValidationException"],
    ["a value below 0", { ServiceCode: "kms", QuotaCode: "L-00000000", DesiredValue: -1 }, "ValidationException"],
  ])("%s → %s", async (_why, input, error) => {
    const { status, body } = await ask("RequestServiceQuotaIncrease", input);
    expect([status, body["__type"]]).toEqual([400, error]);
  });

  test.each([
    ["no more than there is", SYMMETRIC, 20_000],
    ["not adjustable", "Custom key store request quota", 9_999],
  ])("%s → IllegalArgumentException", async (_why, name, desired) => {
    const input = { ServiceCode: "kms", QuotaCode: await codeOf(name), DesiredValue: desired };
    expect((await ask("RequestServiceQuotaIncrease", input)).body["__type"]).toBe("IllegalArgumentException");
  });

  test("is for those whose policies allow it, and in the trail either way", async () => {
    const input = { ServiceCode: "kms", QuotaCode: await codeOf(SYMMETRIC), DesiredValue: 30_000 };
    expect((await ask("RequestServiceQuotaIncrease", input, "admin")).body).toMatchObject({
      __type: "AccessDeniedException",
      Message: expect.stringContaining("because no identity-based policy allows the servicequotas:Request"),
    });
    await ask("RequestServiceQuotaIncrease", input);
    const events = aws.trail({ eventName: "RequestServiceQuotaIncrease" }).map(({ event }) => event);
    expect(events.map(({ errorCode, readOnly }) => [errorCode, readOnly])).toEqual([
      ["AccessDenied", false],
      [undefined, false],
    ]);
    expect(events[1]).toMatchObject({
      eventSource: "servicequotas.amazonaws.com",
      requestParameters: { serviceCode: "kms", desiredValue: 30_000 },
      responseElements: { requestedQuota: { status: "APPROVED" } },
      recipientAccountId: OWNER,
    });
  });
});
