/** The control socket: who may have it, and what it is asked. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateRandomCommand,
  type KMSClient,
} from "@aws-sdk/client-kms";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ControlSocket, serveControlSocket } from "../../mock/aws/control-socket.ts";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { runningControl } from "../../mock/aws/running-control.ts";
import { loadSeed, type SeedOutcome } from "../../mock/aws/seed.ts";
import type { MockAwsStatus } from "../../mock/aws/status.ts";
import type { TrailRecord } from "../../mock/aws/trail.ts";
import { ControlClient } from "../../transport/control.ts";
import { clientOf, OWNER, REGION, startTestbed } from "./testbed.ts";

const base = mkdtempSync(join(tmpdir(), "cloister-control-"));
afterAll(() => rmSync(base, { recursive: true }));

let aws: MockAws;
let admin: KMSClient;
let control: ControlSocket | undefined;
let folder: string;
const sockets: Socket[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(base, "f"));
  aws = await startTestbed();
  admin = clientOf(aws, "admin");
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await control?.close();
  control = undefined;
  admin.destroy();
  await aws.close();
});

const seed = { keys: [{ name: "first", accountId: OWNER, region: REGION }], quotas: "off" } as const;

async function serve(path = join(folder, "c.sock")): Promise<ControlClient> {
  await loadSeed(aws, seed);
  control = await serveControlSocket(path, runningControl(aws, seed));
  return client(path);
}

function client(path = join(folder, "c.sock")): ControlClient {
  const socket = connect(path);
  sockets.push(socket);
  return new ControlClient(socket, socket);
}

const refusal = (path: string): Promise<string> =>
  serveControlSocket(path, runningControl(aws)).then(
    async (served) => served.close().then(() => "served"),
    (error: { code: string; details: { reason: string } }) => `${error.code}: ${error.details.reason}`,
  );

describe("the socket", () => {
  test("is this user's alone, in a folder that is made so, and is gone afterwards", async () => {
    const path = join(folder, "new", "c.sock");
    await serve(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "new")).mode & 0o777).toBe(0o700);
    await control?.close();
    control = undefined;
    expect(existsSync(path)).toBe(false);
  });

  test("is not made in a folder that is open to others, nor through a link", async () => {
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o750);
    expect(await refusal(join(open, "c.sock"))).toMatch(/^ERR_CONFIG_FILE: .*mode 0700$/);
    mkdirSync(join(folder, "own"), { mode: 0o700 });
    symlinkSync(join(folder, "own"), join(folder, "link"));
    expect(await refusal(join(folder, "link", "c.sock"))).toMatch(/^ERR_CONFIG_FILE: .*not a link$/);
  });

  test("does not take the place of a file, of one that answers, or of a name that is too long", async () => {
    writeFileSync(join(folder, "file"), "");
    expect(await refusal(join(folder, "file"))).toMatch(/no socket$/);
    await serve();
    expect(await refusal(join(folder, "c.sock"))).toMatch(/another process/);
    expect(await refusal(join(folder, "x".repeat(100)))).toMatch(/at most 103/);
  });

  test("takes the place of a dead one", async () => {
    const path = join(folder, "c.sock");
    const dying = `import("node:net").then(({createServer}) => createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL")))`;
    await new Promise((done) => spawn(process.execPath, ["-e", dying]).once("exit", done));
    expect(existsSync(path)).toBe(true);
    expect(await refusal(path)).toBe("served");
  });

  test("a client that breaks off or speaks something else does not end it", async () => {
    const other = await serve();
    const rude = connect(join(folder, "c.sock"));
    const closed = new Promise((done) => rude.once("close", done));
    rude.on("error", () => undefined).write("GET / HTTP/1.1\r\n\r\n");
    await closed;
    expect(await other.call<MockAwsStatus>("status")).toMatchObject({ trust: "mock" });
    const deaf = connect(join(folder, "c.sock"));
    deaf.pause().write('{"id":1,"method":"status"}\n');
    await other.call("status");
    deaf.destroy(); // with the answer unread, which resets the connection
    expect(await other.call<MockAwsStatus>("status")).toMatchObject({ trust: "mock" });
  });
});

describe("its methods", () => {
  test("status, clock, quotas, faults", async () => {
    const ask = await serve();
    expect(await ask.call("status")).toMatchObject({ trust: "mock", keys: 1, quotas: "off" });
    expect(await ask.call("advanceClock", { ms: 86_400_000 })).toEqual({ now: "2026-03-02T12:00:00.000Z" });
    await ask.call("quotas", { quotas: "aws" });
    expect(aws.status().quotas).toBe("aws");
    await ask.call("faults", { fault: { operation: "GenerateRandom", answer: "internal-error", times: 2 } });
    await expect(admin.send(new GenerateRandomCommand({ NumberOfBytes: 1 }))).rejects.toThrow();
  });

  test("seed, and reset back to what it was started with", async () => {
    const ask = await serve();
    const more = { keys: [{ name: "second", accountId: OWNER, region: REGION }], quotas: "aws" };
    expect(await ask.call("seed", { seed: more })).toMatchObject({ changes: ["set quotas", "made key second"] });
    await admin.send(new CreateKeyCommand({}));
    await ask.call("advanceClock", { ms: 1_000 });
    const [key] = Object.values((await loadSeed(aws, seed)).keys);
    const sealed = await admin.send(new EncryptCommand({ KeyId: key, Plaintext: Buffer.from("kept") }));
    await ask.call("reset");
    await admin.send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }));
    aws.reset();
    await ask.call("reset");
    expect(await ask.call("status")).toMatchObject({
      keys: 1,
      quotas: "off",
      trailRecords: 0,
      now: "2026-03-01T12:00:00.000Z",
    });
  });

  test("reset comes after the seeds that were asked for before it, and before the next", async () => {
    const ask = await serve();
    // Of a kind that takes a while to make.
    const place = { accountId: OWNER, region: REGION, spec: "RSA_2048", usage: "ENCRYPT_DECRYPT" } as const;
    const keys = (name: string) => [1, 2].map((i) => ({ ...place, name: `${name}${i}` }));
    const alone = aws.seed({ keys: keys("alone") });
    await ask.call("reset");
    await alone;
    expect(aws.status().keys).toBe(1);
    const direct = aws.seed({ keys: keys("direct") });
    const before = ask.call("seed", { seed: { keys: keys("before") } });
    const reset = ask.call("reset");
    await Promise.all([direct, before, reset, ask.call("seed", { seed: { keys: keys("after") } })]);
    expect(aws.status().keys).toBe(3);
  });

  test("seed tells what was generated, not what it was given", async () => {
    const ask = await serve();
    const given = { accessKeyId: "AKIAGIVENGIVENGIVEN0", secretAccessKey: "given-secret" };
    const principals = [
      { type: "user", name: "a", credentials: [given] },
      { type: "user", name: "b", credentials: "generate" },
    ];
    const outcome = await ask.call<SeedOutcome>("seed", {
      seed: { accounts: [{ accountId: "999988887777", principals }] },
    });
    expect(outcome.credentials.map(({ name }) => name)).toEqual(["b"]);
    expect(JSON.stringify(outcome)).not.toContain("given-secret");
  });

  test("trail and explain: the last, the last denied, by request id", async () => {
    const ask = await serve();
    expect(await ask.call("explain")).toBeNull();
    const bare = clientOf(aws, "bare");
    const denied = await bare.send(new CreateKeyCommand({})).catch((error: { $metadata: object }) => error.$metadata);
    await admin.send(new CreateKeyCommand({}));
    expect(await ask.call("explain")).toMatchObject({ event: { eventName: "CreateKey" }, explanation: {} });
    const last = await ask.call<TrailRecord>("explain", { lastDenied: true });
    expect(last.event.errorCode).toBe("AccessDenied");
    expect(last.explanation.decision?.outcome).toBe("implicit deny");
    const { requestId } = denied as { requestId?: string };
    expect((await ask.call<TrailRecord>("explain", { requestId })).event.eventID).toBe(last.event.eventID);
    const records = await ask.call<readonly TrailRecord[]>("trail", { query: { errorCode: "AccessDenied" } });
    expect(records.map(({ event }) => event.eventID)).toEqual([last.event.eventID]);
    bare.destroy();
  });

  test("follow: each connection hears what it asked for, until it ends", async () => {
    const ask = await serve();
    await expect(ask.call("next")).rejects.toMatchObject({ code: "ERR_CONFIG_FIELD_MISSING" });
    await ask.call("follow", { query: { eventName: "GenerateRandom" } });
    await expect(ask.call("follow")).rejects.toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID" });
    await admin.send(new CreateKeyCommand({}));
    await admin.send(new GenerateRandomCommand({ NumberOfBytes: 1 }));
    expect((await ask.call<TrailRecord>("next")).event.eventName).toBe("GenerateRandom");
    const waiting = expect(ask.call("next")).rejects.toThrow();
    await control?.close();
    control = undefined;
    await waiting;
  });

  test.each([
    ["advanceClock", { ms: -1 }, "ERR_CONFIG_FIELD_INVALID"],
    ["advanceClock", { ms: 1e17 }, "ERR_CONFIG_FIELD_INVALID"],
    ["advanceClock", { ms: "30d" }, "ERR_CONFIG_FIELD_INVALID"],
    ["advanceClock", { ms: 36_525 * 86_400_000 + 1 }, "ERR_CONFIG_FIELD_INVALID"],
    ["quotas", {}, "ERR_CONFIG_FIELD_MISSING"],
    ["faults", { fault: { operation: "*", answer: "throttle", times: 1, account: OWNER } }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["trail", { query: { name: "x" } }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["trail", { query: { eventName: 1 } }, "ERR_CONFIG_FIELD_INVALID"],
    ["quotas", { quotas: "real" }, "ERR_CONFIG_FIELD_INVALID"],
    ["seed", { seed: { key: [] } }, "ERR_CONFIG_FIELD_UNKNOWN"],
    ["seed", { seed: { attestationRoots: [{ file: "/etc/passwd" }] } }, "ERR_CONFIG_FIELD_INVALID"],
    ["faults", { fault: { operation: "CreateKey", answer: "M04", times: 1 } }, "ERR_CONFIG_FIELD_INVALID"],
    ["snapshot", {}, "ERR_CONTROL"],
  ])("%s %o → %s", async (method, params, code) => {
    const ask = await serve();
    await expect(ask.call(method, params)).rejects.toMatchObject({ code });
  });
});
