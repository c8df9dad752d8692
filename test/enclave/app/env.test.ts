/**
 * What an application has: KMS and sealed data that work as outside, attestation, and ways out that are all the parent's.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import { inspect } from "node:util";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { verifyResult } from "../../../client/result.ts";
import type { EnclaveEnv } from "../../../enclave/app/env.ts";
import { type MockAws, newCredentials, startMockAws } from "../../../mock/testing.ts";
import { dangerouslyTrustRoot } from "../../../shared/attestation/index.ts";
import { toHex, utf8 } from "../../../shared/bytes.ts";
import { seal } from "../../../shared/envelope/sealed.ts";
import { attestedKeyPolicy } from "../../../shared/policy/key-policy.ts";
import { makeCa, type TestCa } from "../../parent/pki.ts";
import { codeOf } from "../../transport/streams.ts";
import { makeWorld, measurements, type World } from "./world.ts";

const OWNER = "111122223333";
const OPERATOR = "777788889999";
const REGION = "eu-central-1";
const KMS_HOST = `kms.${REGION}.amazonaws.com`;
const context = { dataset: "x" };
const session = newCredentials();
const sealer = newCredentials();

let aws: MockAws;
let keyArn: string;
let ca: TestCa;
let echo: Server;
let world: World;
let env: EnclaveEnv;

const role = (name: string, credentials: typeof session) => ({
  type: "role" as const,
  name,
  identityPolicies: [
    { Version: "2012-10-17" as const, Statement: [{ Effect: "Allow" as const, Action: "kms:*", Resource: "*" }] },
  ],
  credentials: [credentials],
});

function outside(): KMS {
  const requestHandler = new NodeHttpHandler({ httpsAgent: { ca: aws.caCertificatePem } as never });
  return new KMS({ region: REGION, endpoint: aws.url, credentials: sealer, maxAttempts: 1, requestHandler });
}

beforeAll(async () => {
  ca = await makeCa("a root");
  aws = await startMockAws({
    regions: [REGION],
    attestationRoots: [],
    accounts: [
      { accountId: OWNER, principals: [role("sealer", sealer)] },
      { accountId: OPERATOR, principals: [role("enclave", session)] },
    ],
  });
  const policy = attestedKeyPolicy({
    administrator: `arn:aws:iam::${OWNER}:role/sealer`,
    sealer: `arn:aws:iam::${OWNER}:role/sealer`,
    enclaveRole: `arn:aws:iam::${OPERATOR}:role/enclave`,
    image: { pcr0: toHex(measurements.pcr0), pcr1: toHex(measurements.pcr1), pcr2: toHex(measurements.pcr2) },
  });
  keyArn = (await outside().createKey({ Policy: JSON.stringify(policy) })).KeyMetadata?.Arn ?? "";
  echo = createServer(await ca.issue("echo.example"), (incoming, outgoing) => incoming.pipe(outgoing));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
});
afterAll(async () => {
  echo.close();
  echo.closeAllConnections();
  await aws.close();
});

beforeEach(async () => {
  const hosts = {
    [`${KMS_HOST}:443`]: Number(new URL(aws.url).port),
    "echo.example:443": (echo.address() as { port: number }).port,
  };
  const credentials = {
    AccessKeyId: session.accessKeyId,
    SecretAccessKey: session.secretAccessKey,
    Token: session.sessionToken,
    Expiration: "2099-01-01T00:00:00Z",
  };
  world = await makeWorld({ ca, hosts, tlsRoots: [aws.caCertificatePem], credentials });
  aws.setAttestationRoots([world.nsm.rootCertificate]);
  await world.launch({
    tls: "off",
    start: (given) => {
      env = given;
    },
    fetch: (request, { answer }) => answer(request, () => ({ sum: 3 })),
  });
});

describe("sealed data", () => {
  test("that was sealed outside opens inside, and not under another context", async () => {
    const message = await seal(utf8("secret"), { kms: outside(), keyArn, context });
    expect(await env.open(message, { keyArn, context, dataset: "x" })).toEqual(utf8("secret"));
    const elsewhere = env.open(message, { keyArn, context: { dataset: "y" }, dataset: "x" });
    expect(await codeOf(elsewhere)).toBe("ERR_DATA_NOT_OPENED");
    expect(Buffer.concat(world.crossed).includes("secret")).toBe(false);
  });

  test("a key that KMS does not release is refused by name, a mistake stays a mistake", async () => {
    const message = await seal(utf8("secret"), { kms: outside(), keyArn, context });
    aws.setAttestationRoots([(await makeWorld()).nsm.rootCertificate]);
    expect(await codeOf(env.open(message, { keyArn, context, dataset: "x" }))).toMatch(/^ERR_KMS_/);
    await expect(env.seal(utf8("x"), { keyArn, context: {} })).rejects.toThrow(RangeError);
  });

  test("the KMS client is the SDK's, one for a region", async () => {
    expect(env.kms(REGION)).toBeInstanceOf(KMS);
    expect(env.kms(REGION)).toBe(env.kms(REGION));
    expect(() => env.kms("nowhere")).toThrow(TypeError);
  });
});

describe("attestation", () => {
  const digest = new Uint8Array(createHash("sha384").update("what it vouches for").digest());
  const images = [{ 0: measurements.pcr0, 1: measurements.pcr1, 2: measurements.pcr2 }] as const;

  test("a document names its purpose, and verifies in an enclave of the same roots", async () => {
    const nonce = new Uint8Array(16).fill(7);
    const document = await env.attest({ purpose: "receipt", digest, nonce });
    const policy = { kind: "nsm", images, nonce, maxAgeMs: 60_000, publicKey: "unchecked" } as const;
    const userData = { purpose: "receipt", digest, minimumImageVersion: "unchecked" } as const;
    expect((await env.verify(document, { ...policy, userData })).debug).toBe(false);
    const other = env.verify(document, { ...policy, userData: { ...userData, purpose: "other" } });
    expect(await codeOf(other)).toBe("ERR_ATTESTATION_USER_DATA_MISMATCH");
  });

  test.each(["kms", "tls", "result", "peer", "request"])(
    "the toolkit's purpose %s is not the application's",
    (purpose) => {
      expect(() => env.attest({ purpose, digest })).toThrow(TypeError);
    },
  );

  test("an answer is signed over challenge, question and result, as a client verifies it", async () => {
    const nonce = new Uint8Array(32).fill(9);
    const body = JSON.stringify({ nonce: Buffer.from(nonce).toString("base64") });
    const answer = JSON.parse((await world.ask("/sums/1?x", { method: "POST", body })).text);
    const roots = [dangerouslyTrustRoot(world.nsm.rootCertificate)] as const;
    const policy = { kind: "nsm", roots, images, maxAgeMs: 60_000 } as const;
    const { result } = await verifyResult(answer, { policy, nonce, question: "POST /sums/1" });
    expect(result).toBe('{"sum":3}');
    const other = verifyResult(answer, { policy, nonce, question: "POST /sums/2" });
    expect(await codeOf(other)).toBe("ERR_ATTESTATION_USER_DATA_MISMATCH");
  });

  test.each<[string, string, string]>([
    ["no JSON", "canary", "ERR_CONFIG_FIELD_MISSING"],
    ["no object", "[]", "ERR_CONFIG_FIELD_MISSING"],
    ["no challenge", "{}", "ERR_CONFIG_FIELD_INVALID"],
    ["15 bytes", JSON.stringify({ nonce: "A".repeat(20) }), "ERR_CONFIG_FIELD_INVALID"],
    ["65 bytes", JSON.stringify({ nonce: Buffer.alloc(65).toString("base64") }), "ERR_CONFIG_FIELD_INVALID"],
    ["a large body", JSON.stringify({ nonce: "A".repeat(22), more: "x".repeat(4_096) }), "ERR_CONFIG_FIELD_INVALID"],
  ])("without a challenge there is no answer: %s", async (_, body, code) => {
    const { status, text } = await world.ask("/", { method: "POST", body });
    expect([status, JSON.parse(text).code]).toEqual([400, code]);
    expect(text).not.toContain("canary");
  });
});

describe("the ways out", () => {
  test("fetch, a tunnel, and any client of the AWS SDK go by the parent", async () => {
    const response = await env.fetch("https://echo.example/", { method: "POST", body: "there and back" });
    expect(await response.text()).toBe("there and back");
    const socket = await env.connect("echo.example", 443);
    socket.destroy();
    expect(await codeOf(env.connect("other.example", 443))).toBe("ERR_TRANSPORT_HOST_NOT_ALLOWED");
    const { requestHandler, credentials } = env;
    const plain = new KMS({ region: REGION, requestHandler, credentials, endpoint: `https://${KMS_HOST}` });
    await expect(plain.describeKey({ KeyId: keyArn })).rejects.toMatchObject({ name: "AccessDeniedException" });
    // One client's end is not the others'.
    let end: () => void = () => {};
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(utf8("begun, "));
        end = () => {
          controller.enqueue(utf8("ended"));
          controller.close();
        };
      },
    });
    const underWay = await env.fetch("https://echo.example/", { method: "POST", body, duplex: "half" });
    plain.destroy();
    end();
    expect(await underWay.text()).toBe("begun, ended");
  });

  test("G07: neither the environment nor its credentials show a secret when they are printed", async () => {
    const given = await env.credentials();
    const shown = inspect({ env, given }, { depth: Number.POSITIVE_INFINITY, showHidden: true });
    for (const secret of [session.secretAccessKey, session.sessionToken]) expect(shown).not.toContain(secret);
    expect(given.secretAccessKey).toBe(session.secretAccessKey);
  });

  test("the time is NSM's, and the log is the parent's to read", async () => {
    expect(Math.abs(env.now().getTime() - Date.now())).toBeLessThan(5_000);
    const before = env.monotonicMs();
    expect(env.monotonicMs()).toBeGreaterThanOrEqual(before);
    env.log.write("info", "counted", { rows: 3 });
    await expect.poll(() => world.lines.find(({ event }) => event === "counted")?.fields).toEqual({ rows: 3 });
  });
});
