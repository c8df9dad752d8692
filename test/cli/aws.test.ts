/** The `aws` commands as real processes: up, what clients get of it, durable state, and the commands that ask it. */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  type KMSClient,
  ListKeysCommand,
  ScheduleKeyDeletionCommand,
} from "@aws-sdk/client-kms";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { cloister } from "../built.ts";
import { clientFrom, readExports, stop, type Up, up } from "./aws-bed.ts";

const folder = mkdtempSync(join(tmpdir(), "cloister-aws-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const ACCOUNT = "111122223333";
const everything = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] };
const statement = { Effect: "Allow", Action: "kms:*", Resource: "*" };
const seed = {
  regions: ["eu-central-1"],
  accounts: [
    {
      accountId: ACCOUNT,
      principals: [
        { type: "user", name: "admin", identityPolicies: [everything], credentials: "generate" },
        { type: "role", name: "guest", credentials: "generate" },
      ],
    },
  ],
  keys: [
    {
      ...{ name: "invoices", accountId: ACCOUNT, region: "eu-central-1", aliases: ["alias/invoices"] },
      policy: {
        Version: "2012-10-17",
        Statement: [
          { ...statement, Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` } },
          {
            ...{ ...statement, Sid: "attested", Action: "kms:Decrypt" },
            Principal: { AWS: `arn:aws:iam::${ACCOUNT}:role/guest` },
            Condition: { StringEquals: { "kms:RecipientAttestation:PCR0": "ab".repeat(48) } },
          },
        ],
      },
    },
  ],
};
const seedFile = join(folder, "seed.json");
writeFileSync(seedFile, JSON.stringify(seed));

let running: Up[] = [];
const clients: KMSClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const each of running) if (each.child.exitCode === null) each.child.kill("SIGKILL");
  await Promise.all(running.map(({ ended }) => ended));
  running = [];
});

async function start(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Up> {
  const started = await up(args, env);
  running.push(started);
  return started;
}

function client(exports: Readonly<Record<string, string>>): KMSClient {
  const made = clientFrom(exports);
  clients.push(made);
  return made;
}

const envFile = (): string => join(mkdtempSync(join(folder, "run-")), "aws.env");
const exportsIn = (file: string): Readonly<Record<string, string>> => readExports(readFileSync(file, "utf8"));

describe("aws up", () => {
  test("prints what a client needs, with a banner aside; ends in order and leaves nothing", async () => {
    const started = await start([]);
    const { stdout, stderr } = started.output;
    expect(stderr).toMatch(/^\*\*\* MOCK MODE/);
    expect(stderr).toContain("no attestation roots: every attestation document is refused");
    const exports = readExports(stdout);
    const made = await client(exports).send(new CreateKeyCommand({}));
    expect(made.KeyMetadata?.Arn).toMatch(/^arn:aws:kms:us-east-1:111122223333:key\//);
    const temporary = dirname(exports["AWS_CA_BUNDLE"] ?? "");
    expect(statSync(temporary).mode & 0o777).toBe(0o700);
    expect(await stop(started)).toBe(0);
    expect(existsSync(temporary)).toBe(false);
  });

  test("--env writes exports, certificate and profiles, for this user only", async () => {
    const file = envFile();
    writeFileSync(file, "old", { mode: 0o644 });
    const started = await start(["--seed", seedFile, "--env", file]);
    expect(started.output.stdout).toBe(`. ${file}\n`);
    for (const path of [file, `${file}.ca.pem`, `${file}.credentials`]) expect(statSync(path).mode & 0o777).toBe(0o600);
    const seen = execFileSync("sh", ["-c", `. ${file} && echo "$AWS_REGION:$AWS_SESSION_TOKEN:$AWS_PROFILE"`], {
      env: { ...process.env, AWS_SESSION_TOKEN: "stale", AWS_PROFILE: "stale" },
      encoding: "utf8",
    });
    expect(seen).toBe("eu-central-1::\n");
    const profiles = readFileSync(`${file}.credentials`, "utf8");
    expect(profiles.match(/^\[.*\]$/gm)).toEqual([`[${ACCOUNT}-user-admin]`, `[${ACCOUNT}-role-guest]`]);
    await client(exportsIn(file)).send(new DescribeKeyCommand({ KeyId: "alias/invoices" }));
    expect(await stop(started, "SIGINT")).toBe(0);
  });

  test("--env with what a shell would take for something else: the printed line is quoted", async () => {
    const place = join(mkdtempSync(join(folder, "quoted-")), "it's $(touch made)");
    const started = await start(["--no-tls", "--env", join(place, "aws.env")]);
    const script = `${started.output.stdout}echo "$AWS_ENDPOINT_URL"; ls`;
    const seen = execFileSync("sh", ["-c", script], { encoding: "utf8", cwd: mkdtempSync(join(folder, "cwd-")) });
    expect(seen).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
  });

  test("a secret that would be a line of the credentials file is refused", async () => {
    const file = join(folder, "forged.json");
    const credentials = [{ accessKeyId: "A".repeat(20), secretAccessKey: "x\n[default]\ncredential_process=id" }];
    const principals = [{ type: "user", name: "admin", credentials }];
    writeFileSync(file, JSON.stringify({ accounts: [{ accountId: ACCOUNT, principals }] }));
    const env = envFile();
    const refused = await start(["--no-tls", "--seed", file, "--env", env]);
    expect([await refused.ended, existsSync(`${env}.credentials`)]).toEqual([2, false]);
    expect(readdirSync(dirname(env))).toEqual([]);
  });

  test("--no-tls: plain HTTP, and no certificate to trust", async () => {
    const started = await start(["--no-tls"]);
    const exports = readExports(started.output.stdout);
    expect(exports["AWS_ENDPOINT_URL"]).toMatch(/^http:/);
    expect(exports["AWS_CA_BUNDLE"]).toBeUndefined();
    await client(exports).send(new ListKeysCommand({}));
  });

  test("--quotas overrules the seed", async () => {
    const [file, control] = [join(folder, "quotas.json"), join(envFile(), "..", "c.sock")];
    writeFileSync(file, JSON.stringify({ ...seed, quotas: "off" }));
    await start(["--seed", file, "--quotas", "aws", "--control", control]);
    const ran = await cloister(["aws", "status", "--json", "--control", control]);
    expect(JSON.parse(ran.stdout)).toMatchObject({ quotas: "aws", state: "memory" });
  });

  test("K44: production is refused; so is an address that is none; another than loopback is announced", async () => {
    const refused = await start([], { NODE_ENV: "production" });
    expect([await refused.ended, refused.output.stdout]).toEqual([2, ""]);
    expect(refused.output.stderr).toContain("[ERR_CONFIG_FIELD_INVALID]");
    const nowhere = await start(["--dangerously-listen-on", "everywhere"]);
    expect(await nowhere.ended).toBe(2);
    const open = await start(["--dangerously-listen-on", "127.0.0.2"]);
    expect(open.output.stderr).toContain("*** it listens on 127.0.0.2: whoever reaches it there");
    const exports = readExports(open.output.stdout);
    expect(exports["AWS_ENDPOINT_URL"]).toMatch(/^https:\/\/127\.0\.0\.2:/);
    await client(exports).send(new ListKeysCommand({}));
  });

  test.each([
    ["a port that is none", ["--port", "http"]],
    ["quotas that are none", ["--quotas", "some"]],
    ["a directory without a passphrase", ["--data-dir", folder]],
    ["an operand", ["now"]],
    ["a port twice", ["--port", "1x", "--port", "0"]],
    ["an environment without a name", ["--env", ""]],
    ["an environment with two lines in its name", ["--env", join(folder, "a\nb")]],
    ["a seed that is not there", ["--seed", "/nonexistent.json"]],
    ["an environment that can not be written", ["--env", "/dev/null/env", "--control", join(folder, "late.sock")]],
    ["a control socket that can not be", ["--control", "/dev/null/c.sock"]],
  ])("%s: exit 2, no stack", async (_what, args) => {
    const refused = await start(args);
    expect(await refused.ended).toBe(2);
    expect(refused.output.stderr).not.toContain("    at ");
  });

  test("a mistake in the seed: exit 2, and the path of the field", async () => {
    const file = join(folder, "wrong.json");
    writeFileSync(file, JSON.stringify({ ...seed, keys: [{ ...seed.keys[0], polcy: {} }] }));
    const refused = await start(["--seed", file]);
    expect(await refused.ended).toBe(2);
    expect(refused.output.stderr).toContain("keys[0].polcy is not a field");
  });
});

describe("durable state", () => {
  const passphrase = join(folder, "passphrase");
  writeFileSync(passphrase, "correct horse battery\n", { mode: 0o600 });

  test("a passphrase file that others may write to, that is no file or has no end is refused", async () => {
    const open = join(folder, "open");
    writeFileSync(open, "correct horse battery\n");
    chmodSync(open, 0o620);
    const dataDir = join(folder, "never");
    for (const file of [open, "/dev/zero", folder]) {
      const refused = await start(["--data-dir", dataDir, "--passphrase-file", file]);
      expect([await refused.ended, existsSync(dataDir)]).toEqual([2, false]);
      expect(refused.output.stderr).toContain("[ERR_CONFIG_FILE]");
    }
  });

  test("what was acknowledged survives kill -9; one process at a time; another passphrase does not open it", async () => {
    const [dataDir, file] = [join(mkdtempSync(join(folder, "state-")), "data"), envFile()];
    const args = ["--seed", seedFile, "--env", file, "--data-dir", dataDir, "--passphrase-file", passphrase];
    const first = await start(args);
    const sealed = await client(exportsIn(file)).send(
      new EncryptCommand({ KeyId: "alias/invoices", Plaintext: Buffer.from("outlives") }),
    );
    const rival = await start([...args.slice(0, 3), envFile(), ...args.slice(4)]);
    expect(await rival.ended).toBe(5);
    expect(rival.output.stderr).toContain("[ERR_STATE_LOCKED]");
    expect(await stop(first, "SIGKILL")).toBe("SIGKILL");
    const wrong = join(folder, "wrong-passphrase");
    writeFileSync(wrong, "incorrect horse\n");
    const thief = await start([...args.slice(0, -1), wrong]);
    expect(await thief.ended).toBe(3);
    expect(thief.output.stderr).toContain("[ERR_STATE_SECRET]");
    await start(args);
    const kms = client(exportsIn(file));
    const opened = await kms.send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }));
    expect(Buffer.from(opened.Plaintext ?? []).toString()).toBe("outlives");
    expect((await kms.send(new ListKeysCommand({}))).Keys?.length).toBe(1);
  }, 60_000);
});

describe("the commands that ask it", () => {
  let aws: Up;
  let kms: KMSClient;
  let guest: KMSClient;
  let control: string;
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    const file = envFile();
    control = join(dirname(file), "c.sock");
    aws = await up(["--seed", seedFile, "--env", file, "--control", control]);
    const exports = exportsIn(file);
    env = { CLOISTER_AWS_CONTROL: exports["CLOISTER_AWS_CONTROL"] };
    kms = clientFrom(exports);
    guest = clientFrom(exports);
    const [, accessKeyId = "", secretAccessKey = "", sessionToken = ""] =
      /guest\]\n.* = (.*)\n.* = (.*)\n.* = (.*)\n/.exec(readFileSync(`${file}.credentials`, "utf8")) ?? [];
    guest.config.credentials = async () => ({ accessKeyId, secretAccessKey, sessionToken });
  });
  afterAll(async () => {
    for (const each of [kms, guest]) each.destroy();
    expect(await stop(aws)).toBe(0);
    expect(existsSync(control)).toBe(false);
  });

  test("status", async () => {
    const ran = await cloister(["aws", "status", "--json"], { env });
    expect(JSON.parse(ran.stdout)).toMatchObject({ trust: "mock", keys: 1, regions: ["eu-central-1"] });
    const text = await cloister(["aws", "status", "--control", control]);
    expect(text.stdout).toContain(`user/admin  AKIA`);
    expect(text.stdout).toContain("none: every attestation document is refused");
  });

  test("explain --last-denied: the statement, the condition, what was expected and what came", async () => {
    const sealed = await kms.send(new EncryptCommand({ KeyId: "alias/invoices", Plaintext: Buffer.from("x") }));
    const denied = await guest
      .send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }))
      .catch((error: { $metadata: { requestId: string } }) => error.$metadata.requestId);
    const ran = await cloister(["aws", "explain", "--last-denied"], { env });
    expect(ran.stdout).toContain('nearest allow: key policy statement 1 "attested"');
    expect(ran.stdout).toContain(`expected ${"ab".repeat(48)}`);
    expect(ran.stdout).toMatch(/actual +absent/);
    expect(ran.stdout).toMatch(/attestation +no document came with the call/);
    const byId = await cloister(["aws", "explain", "--request-id", String(denied), "--json"], { env });
    expect(JSON.parse(byId.stdout)).toMatchObject({
      trust: "mock",
      event: { requestID: denied, eventName: "Decrypt" },
    });
    expect((await cloister(["aws", "explain", "--request-id", "none"], { env })).code).toBe(2);
  });

  test("trail, by name and outcome; --follow goes on", async () => {
    const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
    const args = [main, "aws", "trail", "--follow", "--event-name", "ListKeys", "--json"];
    await kms.send(new ListKeysCommand({}));
    const follower = spawn(process.execPath, args, { env: { ...process.env, ...env } });
    const lines = follower.stdout.iterator() as AsyncIterableIterator<Buffer>;
    const next = async () => JSON.parse(String((await lines.next()).value));
    const past = await next();
    await kms.send(new ListKeysCommand({}));
    const later = await next();
    follower.kill();
    expect([past.event.eventName, later.event.eventName]).toEqual(["ListKeys", "ListKeys"]);
    expect(later.event.eventID).not.toBe(past.event.eventID);
    const denied = await cloister(["aws", "trail", "--error-code", "AccessDenied"], { env });
    expect(denied.stdout.trim().split("\n").length).toBe(1);
  });

  test("seed: what was there stays, and a mistake is a usage error", async () => {
    expect((await cloister(["aws", "seed", seedFile], { env })).stdout).toMatch(/^nothing to do\n/);
    const file = join(folder, "more.json");
    writeFileSync(file, JSON.stringify({ keys: [{ ...seed.keys[0], name: "more", aliases: ["alias/more"] }] }));
    const ran = await cloister(["aws", "seed", file, "--json"], { env });
    expect(JSON.parse(ran.stdout).changes).toContain("made key more");
    writeFileSync(file, JSON.stringify({ keys: [{ ...seed.keys[0], name: "bad", accountId: "999999999999" }] }));
    const refused = await cloister(["aws", "seed", file], { env });
    expect([refused.code, refused.stdout]).toEqual([2, ""]);
    expect(refused.stderr).toContain("keys[0].accountId");
  });

  test("clock advance 30d: a key that waits for its deletion goes", async () => {
    const { KeyMetadata: made } = await kms.send(new CreateKeyCommand({}));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: made?.KeyId }));
    const ran = await cloister(["aws", "clock", "advance", "29d"], { env });
    expect(ran.stdout).toMatch(/^it is \d{4}-/);
    await kms.send(new DescribeKeyCommand({ KeyId: made?.KeyId }));
    await cloister(["aws", "clock", "advance", "24h"], { env });
    await expect(kms.send(new DescribeKeyCommand({ KeyId: made?.KeyId }))).rejects.toMatchObject({
      name: "NotFoundException",
    });
  });

  test.each([
    ["a duration that is none", ["clock", "advance", "soon"], 2],
    ["another verb", ["clock", "rewind", "30d"], 2],
    ["two questions at once", ["explain", "--last-denied", "--request-id", "x"], 2],
    ["nobody there", ["status", "--control", join(folder, "nobody.sock")], 5],
  ])("%s", async (_what, args, code) => {
    const ran = await cloister(["aws", ...args], { env });
    expect(ran.code).toBe(code);
    expect(ran.stderr).not.toContain("    at ");
    expect(ran.stderr.includes("hint: start it with `aws up --control")).toBe(code === 5);
  });

  test("no socket named at all: exit 2", async () => {
    const ran = await cloister(["aws", "status"], { env: { CLOISTER_AWS_CONTROL: "", XDG_RUNTIME_DIR: "" } });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("hint: start it with `aws up --control");
  });
});
