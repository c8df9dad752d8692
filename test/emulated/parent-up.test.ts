/**
 * `cloister parent up` around an enclave that boots: one command builds the image, boots it, and is its way out, its way
 * in, its credentials and its log, from context id 3. Without a second guest: the host is the parent.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { attestationPolicyFromJson, verifyAttestation } from "../../shared/attestation/index.ts";
import { fromHex } from "../../shared/bytes.ts";
import { emulator, hasEmulator } from "./emulator.ts";
import { bundle, workFolder } from "./images.ts";

const BOOT_MS = 240_000;
const ACCESS_KEY = "ASIAEMULATEDENCLAVE1";
const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const PARENT_YAML = (upstream: number): string => `enclave:
  platform: emulated
  image: app.eif
  mockRoot: root.json
  memoryMiB: 768
egress:
  allowlist:
    - {target: "upstream.test:443", allowPrivate: true}
  hosts: {"upstream.test:443": "127.0.0.1:${upstream}"}
credentials:
  source: file
  file: credentials.json
ingress:
  listen: tcp://127.0.0.1:0
logs:
  to: file
  file: enclave.log
`;

describe.skipIf(!hasEmulator)("parent up with an emulated enclave (needs `make emulator`)", () => {
  const folder = hasEmulator ? workFolder() : "";
  let upstream: Server;
  let parent: ChildProcess;
  let said = "";
  const ingress = (): string => `http:${/clients connect to tcp:(\S+);/.exec(said)?.[1]}`;

  const ask = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      get(`${ingress()}${path}`, { agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => (text += chunk.toString())).on("end", () => resolve(text));
      }).on("error", reject);
    });

  beforeAll(async () => {
    upstream = createServer({ allowHalfOpen: true }, (socket) => {
      socket.once("data", (chunk: Buffer) => socket.end(`${chunk.toString()} pong`));
    });
    await new Promise<void>((done) => upstream.listen(0, "127.0.0.1", done));
    mkdirSync(join(folder, "app"));
    writeFileSync(join(folder, "app/app.mjs"), await bundle("parent-app.ts"));
    const port = (upstream.address() as AddressInfo).port;
    writeFileSync(join(folder, "parent.yaml"), PARENT_YAML(port), { mode: 0o600 });
    const secrets = { AccessKeyId: ACCESS_KEY, SecretAccessKey: "s".repeat(40), Token: "token" };
    const credentials = { ...secrets, Expiration: "2099-01-01T00:00:00Z" };
    writeFileSync(join(folder, "credentials.json"), JSON.stringify(credentials), { mode: 0o600 });
    const args = ["parent", "up", "--config", join(folder, "parent.yaml"), "--build", join(folder, "app")];
    const env = { ...process.env, XDG_RUNTIME_DIR: folder, NOTIFY_SOCKET: "" };
    parent = spawn(process.execPath, [cli, ...args, "--emulator", emulator.folder], { env });
    parent.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await vi.waitFor(
      () => {
        if (parent.exitCode !== null) throw new Error(`it ended: ${said}`);
        expect(said).toContain('"event":"up"');
      },
      { timeout: BOOT_MS, interval: 250 },
    );
  }, BOOT_MS + 30_000);

  afterAll(async () => {
    upstream?.close();
    if (parent && parent.exitCode === null) {
      const ended = new Promise((done) => parent.once("exit", done));
      parent.kill("SIGKILL");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test("its way out: what is allowed is reached, anything else is not", async () => {
    expect(await ask("/upstream")).toBe("ping pong");
    expect(await ask("/elsewhere")).toBe("ERR_TRANSPORT_HOST_NOT_ALLOWED");
  }, 60_000);

  test("its credentials come from the parent's file, its log goes to the parent's", async () => {
    expect(await ask("/credentials")).toBe(ACCESS_KEY);
    await vi.waitFor(
      () => expect(readFileSync(join(folder, "enclave.log"), "utf8")).toContain("application is ready"),
      {
        timeout: 20_000,
      },
    );
  }, 60_000);

  test("its documents verify under the policy that the build wrote, by QEMU's own measurement", async () => {
    const json = JSON.parse(readFileSync(join(folder, "app.eif.policy.json"), "utf8")) as object;
    const unused = { nonce: "unchecked", userData: "unchecked", publicKey: "unchecked" };
    const policy = attestationPolicyFromJson({ ...json, ...unused });
    const { moduleId } = await verifyAttestation(fromHex(await ask("/document")), policy, { now: new Date() });
    expect(moduleId).toMatch(/^i-/);
  }, 60_000);

  test("told to stop, it ends the enclave and itself", async () => {
    const ended = new Promise((done) => parent.once("exit", done));
    parent.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(JSON.parse(said.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({ event: "stopped", forced: 0 });
  }, 60_000);
});
