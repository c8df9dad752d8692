/** The hypervisor in this process; its enclaves are real processes. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildAppImage, buildEif, writeCpio } from "../../image/index.ts";
import { type HypervisorOptions, MockHypervisor } from "../../mock/nsm/hypervisor.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { content, verdict } from "../eif/craft.ts";
import { claimsOf } from "../nsm/suite.ts";

// A loaded machine takes its time to start a process.
const PATIENT = { timeout: 15_000 };
const randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length));
let folder: string;
let eifPath: string;
let hypervisor: MockHypervisor;

function optionsIn(vsock: string): HypervisorOptions {
  return {
    instanceId: "i-0123456789abcdef0",
    region: "eu-west-1",
    parentRoleArn: "arn:aws:iam::123456789012:role/parent",
    vsock,
    now: () => new Date(),
    randomBytes,
  };
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "hv-"));
  eifPath = join(folder, "app.eif");
  hypervisor = await MockHypervisor.start(optionsIn(join(folder, "vsock")));
});
afterEach(async () => {
  await hypervisor[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** Writes an image of this program and gives its measurements, hex. */
async function image(main: string, more: Readonly<Record<string, string>> = {}): Promise<Record<0 | 1 | 2, string>> {
  const files = new Map(Object.entries({ "main.mjs": main, ...more }).map(([path, text]) => [path, utf8(text)]));
  const { eif, measurements } = await buildAppImage({ files, platform: "mock" });
  await writeFile(eifPath, eif);
  return { 0: toHex(measurements.pcr0), 1: toHex(measurements.pcr1), 2: toHex(measurements.pcr2) };
}

/** Runs an image in debug mode to its end and gives what it printed. */
async function output(cid = 16): Promise<string> {
  const { enclaveId } = await hypervisor.run({ eifPath, cid, debug: true });
  await hypervisor.ended(enclaveId);
  return hypervisor.console(enclaveId);
}

/** An application that asks its NSM one thing and prints the answer, hex. */
const asksNsm = (request: string) => `
  import { connect } from "node:net";
  const socket = connect("./nsm.sock");
  const request = Buffer.from("${request}", "hex");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(request.length);
  socket.write(Buffer.concat([length, request]));
  let answer = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    answer = Buffer.concat([answer, chunk]);
    if (answer.length < 4 || answer.length < 4 + answer.readUInt32BE(0)) return;
    process.stdout.write(answer.subarray(4).toString("hex"), () => process.exit(0));
  });
`;

describe("run", () => {
  test("measures the image it is given, and the enclave's own document says the same", async () => {
    const attest = "a16b4174746573746174696f6ea369757365725f64617461f6656e6f6e6365f66a7075626c69635f6b6579f6";
    const expected = await image(`${asksNsm(attest)} setTimeout(() => {}, 60_000);`);
    const quiet = await hypervisor.run({ eifPath, cid: 17 });
    expect(quiet.pcrs).toEqual(expected);
    await hypervisor.terminate(quiet.enclaveId);
    const started = await hypervisor.run({ eifPath, cid: 16, debug: true });
    await hypervisor.ended(started.enclaveId);
    const answer = hypervisor.console(started.enclaveId);
    const document = Buffer.from(answer.slice(answer.indexOf("8444a10138")), "hex");
    expect(claimsOf(document).get("module_id")).toBe(started.enclaveId);
    expect(started.pcrs).toEqual({ 0: "00".repeat(48), 1: "00".repeat(48), 2: "00".repeat(48) });
  });

  test("runs what is in the image: all its files, from the folder they are in", async () => {
    await image('import { word } from "./lib/word.mjs"; console.log(word);', {
      "lib/word.mjs": 'export const word = "inside";',
    });
    expect(await output()).toBe("inside\n");
  });

  test("gives the process no environment, no arguments and no descriptors but its own", async () => {
    process.env["CLOISTER_TEST_SECRET"] = "leak";
    await image(`
      import { readdirSync, readlinkSync, statSync } from "node:fs";
      const files = readdirSync("/proc/self/fd").map((fd) => { try { return readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } });
      console.log(JSON.stringify({
        env: process.env, argv: process.argv.slice(2), execArgv: process.execArgv, mode: (statSync(".").mode & 0o777).toString(8),
        files: files.filter((file) => file.startsWith("/") && !/^\\/(dev|proc)\\//.test(file)),
        entries: readdirSync(".").sort(), socket: (statSync("nsm.sock").mode & 0o777).toString(8),
      }));
    `);
    expect(JSON.parse(await output())).toEqual({
      env: {},
      argv: [],
      execArgv: [],
      mode: "700",
      files: [],
      entries: ["app", "nsm.sock", "parent", "self"],
      socket: "600",
    });
    delete process.env["CLOISTER_TEST_SECRET"];
  });

  test("parent leads to context id 3, self to the enclave's own", async () => {
    await mkdir(join(folder, "vsock/3"), { recursive: true });
    const server = createServer((socket) => socket.end("from the parent"));
    await new Promise<void>((done) => server.listen(join(folder, "vsock/3/8001"), done));
    await image(`
      import { connect, createServer } from "node:net";
      createServer().listen("./self/8080", () => connect("./parent/8001").on("data", (d) => console.log(String(d))).on("end", () => process.exit(0)));
    `);
    expect(await output(21)).toBe("from the parent\n");
    await new Promise((done) => server.close(done));
  });

  test("the image may change after it was read: what runs is what was measured", async () => {
    const expected = await image("setTimeout(() => {}, 60_000);");
    const { pcrs } = await hypervisor.run({ eifPath, cid: 16 });
    await image("console.log('other')");
    expect(pcrs).toEqual(expected);
    expect((await hypervisor.run({ eifPath, cid: 17 })).pcrs).not.toEqual(expected);
  });
});

describe("what is refused", () => {
  const refused = () => verdict(() => hypervisor.run({ eifPath, cid: 16 }));

  test("an image with a byte changed", async () => {
    await image("1");
    const bytes = await readFile(eifPath);
    bytes[bytes.length - 20] = 0x41;
    await writeFile(eifPath, bytes);
    expect(await refused()).toMatch(/^ERR_EIF_CRC/);
  });

  test("an image of another kind, and a link to one", async () => {
    const packed = (path: string) => writeCpio(new Map([[path, utf8("")]]));
    const holding = (...ramdisks: Uint8Array[]) => writeFile(eifPath, buildEif({ ...content, ramdisks }));
    await holding(utf8("init"), utf8("no archive"));
    expect(await refused()).toBe("ERR_EIF_ARCHIVE #0");
    for (const ramdisks of [[packed("app/main.mjs")], [utf8("init"), packed("app/x.mjs")]]) {
      await holding(...ramdisks);
      expect(await refused()).toBe("ERR_EIF_ARCHIVE app/main.mjs");
    }
    await holding(utf8("init"), packed("etc/passwd"));
    expect(await refused()).toBe("ERR_EIF_ARCHIVE etc");
    await image("1");
    await rename(eifPath, `${eifPath}.real`);
    await symlink(`${eifPath}.real`, eifPath);
    expect(await refused()).toBe("ERR_EIF_FILE");
  });

  test("a context id below 4 or taken, until it is free again", async () => {
    await image("setTimeout(() => {}, 60_000);");
    for (const cid of [0, 3, -1, 4.5, 0xffff_ffff]) {
      expect(await verdict(() => hypervisor.run({ eifPath, cid }))).toBe("ERR_CONFIG_FIELD_INVALID cid");
    }
    const { enclaveId } = await hypervisor.run({ eifPath, cid: 16 });
    expect(await verdict(() => hypervisor.run({ eifPath, cid: 16 }))).toBe("ERR_CONFIG_FIELD_INVALID cid");
    await hypervisor.terminate(enclaveId);
    expect(await verdict(() => hypervisor.run({ eifPath, cid: 16 }))).toBe("accepted");
  });

  test("a start with another instance id, region or role", async () => {
    for (const [field, value] of Object.entries({
      instanceId: "i-123",
      region: "moon",
      parentRoleArn: "arn:aws:iam::1:user/x",
    })) {
      const options = { ...optionsIn(folder), [field]: value };
      expect(await verdict(() => MockHypervisor.start(options))).toBe(`ERR_CONFIG_FIELD_INVALID ${field}`);
    }
  });

  test("the console of an enclave that is not in debug mode", async () => {
    await image("console.log('secret')");
    const { enclaveId } = await hypervisor.run({ eifPath, cid: 16 });
    await hypervisor.ended(enclaveId);
    expect(await verdict(() => hypervisor.console(enclaveId))).toBe("ERR_CONFIG_FIELD_INVALID debug");
    expect(hypervisor.list()[0]?.lastLines).toEqual([]);
  });
});

describe("the end of an enclave", () => {
  test("is noticed, with its exit code and, in debug mode, its last words", async () => {
    await image('console.error("went wrong"); process.exitCode = 7;');
    const { enclaveId } = await hypervisor.run({ eifPath, cid: 16, debug: true });
    await hypervisor.ended(enclaveId);
    expect(hypervisor.list()).toEqual([
      { enclaveId, cid: 16, debug: true, state: "exited", exitCode: 7, lastLines: ["went wrong"] },
    ]);
  });

  test("the console keeps the last 64 KiB", async () => {
    await image('process.stdout.write("a".repeat(100_000) + "end");');
    const text = await output();
    expect([text.length, text.slice(-4)]).toEqual([64 * 1024, "aend"]);
  });

  test("terminating kills it and what it started, and leaves no folder and no socket", async () => {
    await image(`
      import { spawn } from "node:child_process";
      import { createServer } from "node:net";
      import { writeFileSync } from "node:fs";
      const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
      createServer().listen("./self/8080", () => console.log(JSON.stringify({ cwd: process.cwd(), pids: [process.pid, child.pid] })));
    `);
    const { enclaveId } = await hypervisor.run({ eifPath, cid: 16, debug: true });
    await expect.poll(() => hypervisor.console(enclaveId), PATIENT).toMatch(/\n$/);
    const { cwd, pids } = JSON.parse(hypervisor.console(enclaveId)) as { cwd: string; pids: number[] };
    expect(await readdir(join(folder, "vsock/16"))).toEqual(["8080"]);
    await hypervisor.terminate(enclaveId);
    expect(await readdir(join(folder, "vsock/16"))).toEqual([]);
    await expect(readdir(cwd)).rejects.toMatchObject({ code: "ENOENT" });
    for (const pid of pids) await expect.poll(() => isAlive(pid), PATIENT).toBe(false);
    expect(await verdict(() => hypervisor.terminate(enclaveId))).toBe("ERR_CONFIG_FIELD_INVALID enclaveId");
    expect(hypervisor.list()).toEqual([]);
  });

  test("a socket left behind does not stop the next, other files stay", async () => {
    await mkdir(join(folder, "vsock/16"), { recursive: true });
    await writeFile(join(folder, "vsock/16/note.txt"), "mine");
    const listens =
      'import { createServer } from "node:net"; createServer().listen("./self/8080", () => process.kill(process.pid, "SIGKILL"));';
    await image(listens);
    const { enclaveId } = await hypervisor.run({ eifPath, cid: 16 });
    await hypervisor.ended(enclaveId);
    expect((await readdir(join(folder, "vsock/16"))).sort()).toEqual(["8080", "note.txt"]);
    await hypervisor.terminate(enclaveId);
    expect(await readdir(join(folder, "vsock/16"))).toEqual(["note.txt"]);
  });
});

async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") X ");
  return !/\) [ZX] /.test(stat);
}
