/** Messages sealed here open with AWS's Encryption SDK for Python, and the reverse, both against the emulator's KMS. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Agent } from "node:https";
import { fileURLToPath } from "node:url";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStream } from "../../shared/envelope/open-stream.ts";
import { sealStream } from "../../shared/envelope/seal-stream.ts";
import { open, seal } from "../../shared/envelope/sealed.ts";
import { hasClients, PYTHON, REGION, run, startWorld, type World } from "../mock-aws/clients/world.ts";
import { collect, pieces } from "./bed.ts";

/** For a copy of the package that is not beside the others. */
const environment = { PYTHONPATH: process.env["PYTHONPATH"] ?? "" };
const hasSdk = hasClients && isThere();

function isThere(): boolean {
  try {
    execFileSync(PYTHON, ["-c", "import aws_encryption_sdk"], {
      stdio: "ignore",
      env: { ...process.env, ...environment },
    });
    return true;
  } catch {
    return false;
  }
}

const SUITES = [
  ["signed", "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384"],
  ["unsigned", "AES_256_GCM_HKDF_SHA512_COMMIT_KEY"],
] as const;
const SIZES = [0, 1, 4096, 70_000] as const;

describe.skipIf(!hasSdk)("the Encryption SDK for Python (skipped where it is not installed: make aws-clients)", () => {
  const context = { purpose: "test", "\u{1f600}": "beyond", "\uffff": "é" };
  let world: World;
  let kms: KMS;
  let keyArn = "";

  beforeAll(async () => {
    world = await startWorld();
    const { AWS_ACCESS_KEY_ID = "", AWS_SECRET_ACCESS_KEY = "" } = world.environment;
    kms = new KMS({
      ...{ endpoint: world.aws.url, region: REGION, maxAttempts: 1 },
      credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY },
      requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: world.aws.caCertificatePem }) }),
    });
    keyArn = (await kms.createKey({})).KeyMetadata?.Arn ?? "";
  }, 60_000);
  afterAll(async () => {
    kms.destroy();
    await world[Symbol.asyncDispose]();
  });

  async function drive(task: { readonly seal: readonly object[]; readonly open: readonly Uint8Array[] }) {
    const input = JSON.stringify({
      ...task,
      keyArn,
      open: task.open.map((message) => Buffer.from(message).toString("base64")),
    });
    const script = fileURLToPath(new URL("esdk_drive.py", import.meta.url));
    const { stdout, stderr, status } = await run(world, [PYTHON, script], { input, environment });
    expect(status, stderr).toBe(0);
    const answer = JSON.parse(stdout) as { sealed: string[]; opened: { plaintext: string; context: object }[] };
    const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));
    return {
      sealed: answer.sealed.map(bytes),
      opened: answer.opened.map(({ plaintext, ...rest }) => ({ ...rest, plaintext: bytes(plaintext) })),
    };
  }

  test("opens what is sealed here", async () => {
    const plaintexts = SIZES.map((size) => new Uint8Array(randomBytes(size)));
    const messages: Uint8Array[] = [];
    for (const plaintext of plaintexts) {
      messages.push(await seal(plaintext, { kms, keyArn, context }));
      for (const [suite] of SUITES)
        messages.push(
          await collect(sealStream(pieces(plaintext, 1000), { kms, keyArn, context, suite, frameBytes: 4096 })),
        );
    }
    const { opened } = await drive({ seal: [], open: messages });
    for (const [i, { plaintext, context: bound }] of opened.entries()) {
      expect(Buffer.from(plaintext).equals(plaintexts[Math.floor(i / 3)] ?? new Uint8Array(9))).toBe(true);
      expect(bound).toMatchObject(context);
    }
    expect(opened.length).toBe(SIZES.length * 3);
  }, 60_000);

  test("seals what is opened here: in frames, and as one block", async () => {
    const items = SIZES.flatMap((size) =>
      SUITES.flatMap(([suite, algorithm]) =>
        [4096, 65_536, 0].map((frameBytes) => ({ suite, algorithm, frameBytes, bytes: randomBytes(size) })),
      ),
    );
    const tasks = items.map(({ bytes, ...item }) => ({ ...item, context, plaintext: bytes.toString("base64") }));
    const { sealed } = await drive({ seal: tasks, open: [] });
    expect(sealed.length).toBe(items.length);
    for (const [i, { suite, bytes }] of items.entries()) {
      const message = sealed[i] ?? new Uint8Array();
      const options = { kms, keyArn, context, dataset: "x" };
      expect(Buffer.from(await collect(openStream(pieces(message, 999), { ...options, suite }))).equals(bytes)).toBe(
        true,
      );
      if (suite === "signed") expect(Buffer.from(await open(message, options)).equals(bytes)).toBe(true);
    }
  }, 60_000);
});
