import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTransport } from "../../transport/create.ts";
import { cloister } from "../built.ts";
import { file, type Running, run, shortFolder } from "./parent-bed.ts";

const transport = createTransport();
const folders: string[] = [];
const running: Running[] = [];
afterAll(async () => {
  for (const { child, ended } of running) {
    child.kill("SIGKILL");
    await ended;
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const page = readFileSync(new URL("../../docs/parent.md", import.meta.url), "utf8");
const block = (language: string): string => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "";

interface Home {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly up: (...args: string[]) => Running;
}

/** A folder with the page's example in it, its ports any free ones. */
function home(edit = (yaml: string): string => yaml): Home {
  const folder = shortFolder();
  folders.push(folder);
  mkdirSync(join(folder, "hello"));
  file(folder, "hello/main.mjs", block("js"));
  file(folder, "parent.yaml", edit(block("yaml").replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:0")));
  const env = { XDG_RUNTIME_DIR: folder };
  const up = (...args: string[]): Running => {
    const parent = run(["parent", "up", "--config", join(folder, "parent.yaml"), ...args], env);
    running.push(parent);
    return parent;
  };
  return { folder, env, up };
}

const builds = ({ folder }: Home): readonly string[] => ["--build", join(folder, "hello")];
const addressIn = ({ stderr }: Running): URL =>
  new URL(/clients connect to tcp:(\S+);/.exec(stderr())?.[1] ?? "", "http://x");
const isUp = /"event":"up"/;

function answer(url: URL): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString())).on("end", () => resolve(text));
    }).on("error", reject);
  });
}

describe("cloister parent up", () => {
  test("the page's example, as it is written there: one command, and a client is answered", async () => {
    const at = home();
    const parent = at.up(...builds(at));
    await parent.says(isUp);
    expect(parent.stderr()).toContain("MOCK MODE");
    expect(parent.stderr()).toContain("no measurements");
    expect(await answer(addressIn(parent))).toBe("hello from the enclave\n");
    parent.child.kill("SIGTERM");
    expect(await parent.ended).toBe(0);
    expect(parent.events().at(-1)).toEqual({ service: "parent", event: "stopped", forced: 0 });
    const list = await cloister(["enclave", "list", "--platform", "mock", "--json"], { env: at.env });
    expect(list.stdout).not.toContain("running");
  });

  test("an enclave that is killed comes back, and the way out with it", async () => {
    const at = home();
    const parent = at.up(...builds(at));
    await parent.says(isUp);
    const list = await cloister(["enclave", "list", "--platform", "mock", "--json"], { env: at.env });
    const [pid] = /"processIds":\[(\d+)/.exec(list.stdout)?.slice(1) ?? [];
    process.kill(Number(pid), "SIGKILL");
    await parent.says(isUp, 2);
    expect(await answer(addressIn(parent))).toBe("hello from the enclave\n");
    // Where the enclave dials context id 3 the parent still answers.
    (await transport.connect({ kind: "unix", path: join(at.folder, "cloister/mock/v/3/8001") })).destroy();
    parent.child.kill("SIGTERM");
    expect(await parent.ended).toBe(0);
  });

  test("R27: what does not end is ended at drainMs; a second signal does not wait for it", async () => {
    const at = home((yaml) => `${yaml}limits:\n  drainMs: 300\n`);
    for (const [drainMs, signals, last] of [
      [300, 1, { event: "stopped", forced: 1 }],
      [600_000, 2, { event: "stopped" }],
    ] as const) {
      file(
        at.folder,
        "parent.yaml",
        readFileSync(join(at.folder, "parent.yaml"), "utf8").replace(/drainMs: \d+/, `drainMs: ${drainMs}`),
      );
      const parent = at.up(...builds(at));
      await parent.says(isUp);
      const { hostname, port } = addressIn(parent);
      const client = await transport.connect({ kind: "tcp", host: hostname, port: Number(port) });
      client.on("error", () => undefined);
      await parent.says('"event":"connected"');
      parent.child.kill("SIGTERM");
      await parent.says('"event":"stopping"');
      if (signals === 2) parent.child.kill("SIGTERM");
      expect(await parent.ended).toBe(0);
      expect(parent.events().at(-1)).toMatchObject(last);
      client.destroy();
    }
  });

  test("R15: SIGHUP puts a good file in force, and reports a bad one with its place", async () => {
    const at = home();
    const path = join(at.folder, "parent.yaml");
    const text = readFileSync(path, "utf8");
    const parent = at.up(...builds(at));
    await parent.says(isUp);
    const reload = async (yaml: string, event: string): Promise<void> => {
      file(at.folder, "parent.yaml", yaml);
      parent.child.kill("SIGHUP");
      await parent.says(`"event":"${event}"`);
    };
    await reload(text.replace("eu-central-1", "eu-west-1"), "reloaded");
    await reload(text.replace("allowlist", "alowlist"), "reload-refused");
    expect(parent.events().at(-1)).toMatchObject({
      ...{ event: "reload-refused", code: "ERR_CONFIG_FIELD_UNKNOWN" },
      reason: expect.stringContaining(`${path}:5:3`),
    });
    expect(await answer(addressIn(parent))).toBe("hello from the enclave\n");
    parent.child.kill("SIGTERM");
    expect(await parent.ended).toBe(0);
  });

  test("R28: killed and started again, it binds its sockets and finds its enclave", async () => {
    const at = home();
    const first = at.up(...builds(at));
    await first.says(isUp);
    const id = first.events().find(({ event }) => event === "up")?.["enclaveId"];
    first.child.kill("SIGKILL");
    await first.ended;
    const second = at.up();
    await second.says(isUp);
    expect(second.events().find(({ event }) => event === "adopted")).toMatchObject({ enclaveId: id });
    expect(await answer(addressIn(second))).toBe("hello from the enclave\n");
    (await transport.connect({ kind: "unix", path: join(at.folder, "cloister/mock/v/3/8001") })).destroy();
    second.child.kill("SIGTERM");
    expect(await second.ended).toBe(0);
  });

  test("R14: a file with a mistake is exit code 2, its place, and nothing is started", async () => {
    const at = home((yaml) => yaml.replace(/ {2}allowlist:\n.*\n/, "  allowlist: []\n"));
    const path = join(at.folder, "parent.yaml");
    for (const args of [[], ["--check"]]) {
      const ran = await cloister(["parent", "up", "--config", path, ...args], { env: at.env });
      expect(ran.code).toBe(2);
      expect(ran.stderr).toContain(`${path}:5:3: egress.allowlist must be`);
      expect(ran.stderr).not.toContain("MOCK MODE");
    }
    expect((await cloister(["parent", "up"])).code).toBe(2);
  });

  test("an image that is not the expected one is not started", async () => {
    const at = home((yaml) => yaml.replace("image: hello.eif", "image: hello.eif\n  measurements: expected.json"));
    const PCR = (digit: string): string => digit.repeat(96);
    const Measurements = { HashAlgorithm: "Sha384 { ... }", PCR0: PCR("0"), PCR1: PCR("1"), PCR2: PCR("2") };
    file(at.folder, "expected.json", JSON.stringify({ Measurements }));
    const parent = at.up(...builds(at));
    expect(await parent.ended).toBe(4);
    expect(parent.stderr()).toContain("ERR_EIF_MEASUREMENT");
    expect(parent.events().some(({ event }) => event === "started")).toBe(false);
  });

  test("--check says that a good file is one; --build is for mock alone", async () => {
    const at = home();
    const path = join(at.folder, "parent.yaml");
    expect((await cloister(["parent", "up", "--config", path, "--check"])).code).toBe(0);
    file(at.folder, "parent.yaml", "enclave: { platform: nitro, attach: vsock://16 }\n");
    expect((await cloister(["parent", "up", "--config", path, "--build", at.folder])).code).toBe(2);
  });
});

describe("cloister parent doctor", () => {
  let root: string;
  beforeAll(() => {
    root = shortFolder();
    folders.push(root);
  });

  test("a host that lacks everything: exit code 6, and what to do about each", async () => {
    const ran = await cloister(["parent", "doctor", "--root", root, "--json"]);
    expect(ran.code).toBe(6);
    const { verdict, platform, findings } = JSON.parse(ran.stdout);
    expect({ verdict, platform }).toEqual({ verdict: "fail", platform: "nitro" });
    for (const each of findings) if (each.verdict !== "ok") expect(each.todo).toMatch(/.{10}/);
    expect((await cloister(["parent", "doctor", "--root", root])).stdout).toMatch(/^fail {2}driver .*\n +→ /m);
  });

  test("mock mode runs wherever these tests run; what a file needs is asked for", async () => {
    expect((await cloister(["parent", "doctor", "--platform", "mock"])).code).toBe(0);
    const path = file(root, "parent.yaml", "enclave: { platform: nitro, image: a.eif, memoryMiB: 3000, cpus: 7 }\n");
    const ran = await cloister(["parent", "doctor", "--config", path, "--root", root]);
    expect(ran.stdout).toContain("cpu_count: 7");
  });
});
