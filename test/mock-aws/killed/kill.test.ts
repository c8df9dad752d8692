/**
 * A mock AWS is killed while clients write, again and again: what it acknowledged is there, and nothing is there by half.
 *
 *   KILLS=100 npx vitest run test/mock-aws/killed
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  type KMSClient,
  ListKeyRotationsCommand,
  ListResourceTagsCommand,
  paginateListAliases,
  paginateListKeys,
  RotateKeyOnDemandCommand,
} from "@aws-sdk/client-kms";
import { afterAll, expect, test } from "vitest";
import { clientFrom, readExports, type Up, up } from "../../cli/aws-bed.ts";

/** The default path takes a few; the run by hand takes a hundred. */
const KILLS = Number(process.env["KILLS"] ?? 6);
const WRITERS = 6;

const folder = mkdtempSync(join(tmpdir(), "cloister-killed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const everything = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "kms:*", Resource: "*" }] };
const credentials = [
  { accessKeyId: "AKIAKILLEDKILLED0001", secretAccessKey: "of-processes-that-are-killed-only-000001" },
];
const principals = [{ type: "user", name: "writer", identityPolicies: [everything], credentials }];
writeFileSync(
  at("seed.json"),
  JSON.stringify({ regions: ["eu-central-1"], accounts: [{ accountId: "111122223333", principals }] }),
);
writeFileSync(at("passphrase"), "for this test only", { mode: 0o600 });

interface Running {
  readonly process: Up;
  readonly kms: KMSClient;
}

async function start(): Promise<Running> {
  const state = ["--data-dir", at("state"), "--passphrase-file", at("passphrase")];
  const process = await up(["--no-tls", "--seed", at("seed.json"), ...state]);
  // What it tells comes on one pipe, the exports on another: they need not come together.
  while (process.child.exitCode === null && !process.output.stdout.includes("AWS_REGION=")) await wait(10);
  if (process.child.exitCode !== null) throw new Error(`it did not start again: ${process.output.stderr}`);
  return { process, kms: clientFrom(readExports(process.output.stdout)) };
}

/** What was acknowledged: of a key its id, of an alias where it leads, of a ciphertext what is in it. */
const keys = new Set<string>();
const aliases = new Map<string, string>();
const rotated = new Set<string>();
const ciphertexts: { readonly blob: Uint8Array; readonly text: string }[] = [];
let number = 0;

async function writeUntilKilled({ kms }: Running): Promise<void> {
  try {
    for (;;) {
      const id = number++;
      const Tags = [{ TagKey: "number", TagValue: String(id) }];
      const { KeyMetadata: made } = await kms.send(new CreateKeyCommand({ Description: `key ${id}`, Tags }));
      const keyId = made?.KeyId ?? expect.unreachable();
      keys.add(keyId);
      await kms.send(new CreateAliasCommand({ AliasName: `alias/key-${id}`, TargetKeyId: keyId }));
      aliases.set(`alias/key-${id}`, keyId);
      if (id % 3 === 0) {
        await kms.send(new RotateKeyOnDemandCommand({ KeyId: keyId }));
        rotated.add(keyId);
      }
      const text = `sealed under ${id}`;
      const sealed = await kms.send(new EncryptCommand({ KeyId: keyId, Plaintext: new TextEncoder().encode(text) }));
      ciphertexts.push({ blob: sealed.CiphertextBlob ?? expect.unreachable(), text });
    }
  } catch (error) {
    // The connection of a process that was killed ends the writer; anything else is a failure of this test.
    if (!["ECONNRESET", "ECONNREFUSED", "EPIPE"].includes(String((error as { code?: unknown }).code))) throw error;
  }
}

async function checkAll({ kms }: Running, { fresh }: { readonly fresh: readonly string[] }): Promise<void> {
  const listed = new Set<string>();
  for await (const { Keys = [] } of paginateListKeys({ client: kms, pageSize: 1000 }, {}))
    for (const { KeyId: id = "" } of Keys) listed.add(id);
  expect([...keys].filter((id) => !listed.has(id))).toEqual([]);
  const led = new Map<string, string | undefined>();
  for await (const { Aliases = [] } of paginateListAliases({ client: kms, pageSize: 100 }, {}))
    for (const { AliasName: name = "", TargetKeyId: target } of Aliases) led.set(name, target);
  for (const [name, target] of aliases) expect(led.get(name), name).toBe(target);
  // A key is there whole, acknowledged or not: its tag and its description are of one number.
  for (const id of listed) {
    if (keys.has(id) && !fresh.includes(id)) continue;
    const { KeyMetadata: key } = await kms.send(new DescribeKeyCommand({ KeyId: id }));
    const { Tags = [] } = await kms.send(new ListResourceTagsCommand({ KeyId: id }));
    expect(key?.Description).toBe(`key ${Tags[0]?.TagValue}`);
    expect(key?.KeyState).toBe("Enabled");
    const { Rotations = [] } = await kms.send(new ListKeyRotationsCommand({ KeyId: id }));
    if (rotated.has(id)) expect(Rotations).toHaveLength(1);
  }
  for (const { blob, text } of ciphertexts.slice(-40)) {
    const { Plaintext: plaintext } = await kms.send(new DecryptCommand({ CiphertextBlob: blob }));
    expect(new TextDecoder().decode(plaintext)).toBe(text);
  }
}

test(`nothing that was acknowledged is lost, ${KILLS} times`, { timeout: 60_000 + KILLS * 15_000 }, async () => {
  let running = await start();
  for (let kill = 0; kill < KILLS; kill++) {
    const before = new Set(keys);
    const writers = Array.from({ length: WRITERS }, () => writeUntilKilled(running));
    await wait(50 + Math.random() * 400);
    running.process.child.kill("SIGKILL");
    await Promise.all(writers);
    await running.process.ended;
    running.kms.destroy();
    running = await start();
    await checkAll(running, { fresh: [...keys].filter((id) => !before.has(id)) });
  }
  running.process.child.kill("SIGKILL");
  process.stdout.write(
    `killed ${KILLS} times: ${keys.size} keys, ${aliases.size} aliases, ${ciphertexts.length} ciphertexts kept\n`,
  );
  expect(keys.size).toBeGreaterThan(KILLS);
});
