/**
 * Runs our init as process 1 of a namespace: everything real but the devices (init-harness.h). Needs Linux, root and a
 * C compiler.
 */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { compileInit, type Exec, Inputs, writeExec } from "../../image/building.ts";
import { type LogRecord, sanitizeLogEvent } from "../../parent/observability/log-record.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { type Frame, FrameDecoder } from "../../shared/transport/frame.ts";
import { isJsonObject } from "../../shared/transport/json.ts";

const SOURCES = fileURLToPath(new URL("../../image/init/", import.meta.url));
const HARNESS = fileURLToPath(new URL("init-harness.h", import.meta.url));
const FLAGS = ["-std=gnu11", "-static", "-Os", "-Wall", "-Wextra", "-Werror"];

function can(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
const NAMESPACES = [
  "--mount",
  "--propagation",
  "private",
  "--pid",
  "--fork",
  "--kill-child",
  "--net",
  "--ipc",
  "--uts",
];
const hasCompiler = process.platform === "linux" && can("cc", "--version");
const canRun = hasCompiler && can("unshare", ...NAMESPACES, "true");

const APP = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
int main(int count, char **words) {
  char folder[256], c;
  struct stat null;
  const char *what = count > 1 ? words[1] : "";
  setbuf(stdout, NULL);
  if (!strcmp(what, "show")) {
    printf("name=%s uid=%d gid=%d session=%d folder=%s input=%d\\n", words[0], getuid(), getgid(),
           getsid(0) == getpid(), getcwd(folder, sizeof folder), (int)read(0, &c, 1));
    for (char **each = environ; *each; each++) printf("variable %s\\n", *each);
    printf("modules=%d null=%d\\n", access("/modules", F_OK), stat("/dev/null", &null));
    FILE *mounts = fopen("/proc/self/mounts", "re");
    for (char line[512]; fgets(line, sizeof line, mounts);) printf("mount %s", line);
    fclose(mounts);
    for (int fd = 3; fd < 100; fd++) if (fcntl(fd, F_GETFD) >= 0) printf("descriptor %d\\n", fd);
  }
  if (!strcmp(what, "tail")) {
    for (int i = 0; i < 2000; i++) fprintf(stderr, "line %d\\n", i);
    fprintf(stderr, "\\"quoted\\" \\\\ \\t\\x01\\x7f \\xc3\\xa9 \\xff \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xe0\\x80\\x80\\n%0600d\\nlast", 7);
  }
  if (!strcmp(what, "orphans")) {
    for (int i = 0; i < 3; i++) if (fork() == 0) { if (fork() == 0 && i) pause(); _exit(0); }
    while (wait(NULL) > 0) continue;
    fprintf(stderr, "done");
  }
  if (!strcmp(what, "abort")) abort();
  return count > 2 ? atoi(words[2]) : 0;
}`;

describe.skipIf(!hasCompiler)("init is compiled", () => {
  test("twice from different folders: the same static executable, its inputs recorded", async () => {
    const other = mkdtempSync(join(tmpdir(), "init-"));
    try {
      execFileSync("cp", ["-r", SOURCES, join(other, "elsewhere")]);
      const inputs = new Inputs("unlocked");
      const first = await compileInit(inputs);
      const second = await compileInit(new Inputs(inputs.used("pinned")), { folder: join(other, "elsewhere") });
      expect(Buffer.from(second).equals(first)).toBe(true);
      expect(Object.keys(inputs.used("pinned"))).toEqual(["init", "init compiler", "init source"]);
      expect(Buffer.from(first).includes(SOURCES)).toBe(false);
    } finally {
      rmSync(other, { recursive: true });
    }
  }, 60_000);

  test("a compiler that is not there is refused", async () => {
    const compiled = compileInit(new Inputs("unlocked"), { compiler: "no-such-cc" });
    await expect(compiled).rejects.toMatchObject({ code: "ERR_EIF_INPUT" });
  });

  test("it runs as the first process or not at all", async () => {
    const folder = mkdtempSync(join(tmpdir(), "init-"));
    try {
      writeFileSync(join(folder, "init"), await compileInit(new Inputs("unlocked")), { mode: 0o755 });
      expect(() => execFileSync(join(folder, "init"), { stdio: "pipe" })).toThrow(
        expect.objectContaining({ status: 2 }),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 60_000);
});

describe.skipIf(!canRun)("init runs", () => {
  let built: string;
  let home: string;
  let servers: Server[];
  beforeAll(() => {
    built = mkdtempSync(join(tmpdir(), "init-"));
    const sources = ["init.c", "parent.c", "system.c", "entropy.c", "app.c"].map((name) => join(SOURCES, name));
    execFileSync("cc", [...FLAGS, "-include", HARNESS, "-o", join(built, "init"), ...sources]);
    writeFileSync(join(built, "app.c"), APP);
    execFileSync("cc", ["-static", "-w", "-o", join(built, "app"), join(built, "app.c")]);
  }, 60_000);
  afterAll(() => rmSync(built, { recursive: true }));

  beforeEach(() => {
    servers = [];
    home = mkdtempSync(join(tmpdir(), "enclave-"));
    for (const folder of ["dev", "proc", "run", "sys", "tmp", "bin", "harness"]) {
      mkdirSync(join(home, "rootfs", folder), { recursive: true });
    }
    mkdirSync(join(home, "modules"));
    mkdirSync(join(home, "cloister"));
    writeFileSync(join(home, "modules/order"), "");
    execFileSync("cp", [join(built, "init"), join(home, "init")]);
    execFileSync("cp", [join(built, "app"), join(home, "rootfs/bin/app")]);
    chmodSync(home, 0o755);
    cmdline("console=ttyS0 cloister.platform=guest\n");
    runs({});
  });
  afterEach(() => {
    for (const server of servers) server.close();
    rmSync(home, { recursive: true });
  });

  const cmdline = (text: string) => writeFileSync(join(home, "rootfs/harness/cmdline"), text);
  function replaceByFile(path: string): void {
    rmSync(join(home, path), { recursive: true });
    writeFileSync(join(home, path), "");
  }
  const exec = (bytes: Uint8Array) => writeFileSync(join(home, "cloister/exec"), bytes);
  function runs(change: Partial<Exec>): void {
    const base = { program: "/bin/app", arguments: ["app"], directory: "/", uid: 0, gid: 0, environment: [] };
    exec(writeExec({ ...base, ...change }));
  }

  /** The parent's side of a port. */
  function listen(port: number, serve: (socket: Socket) => void): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, serve);
    servers.push(server);
    return new Promise((resolve) => server.listen(join(home, "rootfs/harness", `3-${port}`), resolve));
  }

  /** Takes reports as the parent does. */
  async function takeReports(): Promise<LogRecord[]> {
    const records: LogRecord[] = [];
    const take = ({ type, id, body }: Frame) => {
      const event =
        isJsonObject(body) && type === "event" && id === 0 && body["name"] === "log" ? body["body"] : undefined;
      const record = event === undefined ? undefined : sanitizeLogEvent(event);
      if (record) records.push(record);
    };
    await listen(8003, (socket) => {
      const decoder = new FrameDecoder(take, 65_536);
      socket.on("data", (chunk: Buffer) => decoder.push(chunk));
      socket.on("end", () => socket.end());
    });
    return records;
  }

  /** Runs to the reboot, which ends the namespace; gives what the console shows. */
  async function boot(): Promise<string> {
    const child = spawn("unshare", [...NAMESPACES, "chroot", home, "/init"], { stdio: ["ignore", "ignore", "pipe"] });
    let early = "";
    child.stderr.on("data", (chunk: Buffer) => {
      early += chunk.toString();
    });
    await new Promise((resolve) => child.on("close", resolve));
    const console = join(home, "rootfs/harness/console");
    return early + (existsSync(console) ? readFileSync(console, "latin1") : "");
  }

  /** NSM's replies: its own form, or bytes as given. */
  function nsm(...replies: readonly Uint8Array[]): void {
    const records = replies.map((reply) => concat(new Uint8Array(Uint32Array.of(reply.length).buffer), reply));
    writeFileSync(join(home, "rootfs/harness/nsm"), concat(...records));
  }
  const random = (size: number, fill: number) => {
    const head = size < 256 ? [0x58, size] : [0x59, size >> 8, size & 0xff];
    const bytes = Uint8Array.from({ length: size }, (_, at) => (fill ? (fill + at) & 0xff : 0));
    return concat(
      Uint8Array.of(0xa1, 0x69),
      utf8("GetRandom"),
      Uint8Array.of(0xa1, 0x66),
      utf8("random"),
      Uint8Array.from(head),
      bytes,
    );
  };
  const heartbeat = () => listen(9000, (socket) => socket.on("data", (chunk: Buffer) => socket.end(chunk)));

  test("the application has its user, its folder, its variables, and nothing of init's", async () => {
    runs({ arguments: ["me", "show"], directory: "/tmp", uid: 1000, gid: 1001, environment: ["A=b c", "E="] });
    const console = await boot();
    expect(console).toContain("name=me uid=1000 gid=1001 session=1 folder=/tmp input=0\n");
    expect(console.match(/^variable .*/gm)).toEqual(["variable A=b c", "variable E="]);
    expect(console).toContain("modules=-1 null=0");
    expect(console).not.toContain("descriptor");
    expect(console).toContain("limit 7 is 65536");
    expect(console).toContain("limit 4 is 0");
  });

  test("what is mounted lets no device, no set user and, but for /tmp, no program in", async () => {
    runs({ arguments: ["app", "show"] });
    const mounted = [...(await boot()).matchAll(/^mount \S+ (\S+) \S+ rw,(\S*)relatime/gm)].map(
      ([, at, flags]) => `${at} ${flags}`,
    );
    const expected = ["/proc nosuid,nodev,noexec,", "/sys nosuid,nodev,noexec,", "/dev/pts nosuid,noexec,"];
    expected.push("/dev/shm nosuid,nodev,noexec,", "/tmp nosuid,nodev,", "/run nosuid,nodev,noexec,");
    expect(mounted).toEqual(expect.arrayContaining(expected));
  });

  test.each<[string, Partial<Exec>, object]>([
    ["its code", { arguments: ["app", "x", "7"] }, { level: "error", fields: { code: 7, signal: null } }],
    ["success", {}, { level: "info", fields: { code: 0, signal: null } }],
    ["its signal", { arguments: ["app", "abort"] }, { level: "error", fields: { code: null, signal: 6 } }],
    [
      "a program that is not there",
      { program: "/gone" },
      { fields: { code: 127, "stderr 03": "init: /gone: No such file or directory" } },
    ],
    [
      "a folder that is not there",
      { directory: "/gone" },
      { fields: { code: 127, "stderr 03": "init: /gone: No such file or directory" } },
    ],
    [
      "children left behind",
      { arguments: ["app", "orphans"] },
      { level: "info", fields: { code: 0, "stderr 03": "done" } },
    ],
  ])("reports the application's end: %s", async (_, change, expected) => {
    const records = await takeReports();
    runs(change);
    await boot();
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ event: "application ended", truncated: false, ...expected });
  });

  test("reports the last lines of standard error, whatever bytes they are", async () => {
    const records = await takeReports();
    runs({ arguments: ["app", "tail"] });
    await boot();
    const fields = records[0]?.fields ?? {};
    const lines = Object.keys(fields)
      .filter((name) => name.startsWith("stderr"))
      .map((name) => fields[name]);
    expect(lines).toHaveLength(16);
    expect(lines[12]).toBe("line 1999");
    expect(lines[13]).toBe(
      '"quoted" \\ \\u{9}\\u{1}\\u{7f} é \ufffd \ufffd\ufffd\ufffd \ufffd\ufffd\ufffd\ufffd \ufffd\ufffd\ufffd',
    );
    expect(lines[14]).toBe(`${"0".repeat(511)}7`);
    expect(lines[15]).toBe("last");
  });

  test("a parent that takes the report and never answers holds the reboot for two seconds, no longer", async () => {
    await listen(8003, () => {});
    const before = performance.now();
    await boot();
    const took = performance.now() - before;
    expect(took).toBeGreaterThan(1_900);
    expect(took).toBeLessThan(10_000);
  }, 20_000);

  test("a Nitro Enclave: 512 bytes of NSM's are credited, then the parent's heartbeat is answered", async () => {
    cmdline("console=ttyS0\n");
    nsm(random(256, 1), random(256, 2));
    await heartbeat();
    expect(await boot()).toContain("application ended: code 0");
    const pool = new Uint8Array(readFileSync(join(home, "rootfs/harness/random")));
    expect(pool).toEqual(
      concat(
        new Uint8Array(Int32Array.of(4096, 512).buffer),
        random(256, 1).subarray(-256),
        random(256, 2).subarray(-256),
      ),
    );
  });

  test("NSM04: short replies are joined until there are 512 bytes", async () => {
    nsm(...Array.from({ length: 32 }, (_, index) => random(16 + (index % 2), index + 1)));
    cmdline("cloister.platform=nitro");
    await heartbeat();
    expect(await boot()).toContain("application ended: code 0");
    expect(readFileSync(join(home, "rootfs/harness/random"))).toHaveLength(520);
  });

  test.each<[string, readonly Uint8Array[], string]>([
    ["all zero", [random(256, 0)], "NSM random bytes: zero or repeated"],
    ["the same block twice", [random(256, 1), random(256, 1)], "NSM random bytes: zero or repeated"],
    ["no bytes", [random(0, 1)], "NSM GetRandom: reply"],
    ["15 bytes", [random(15, 1)], "NSM GetRandom: reply"],
    ["257 bytes", [random(257, 1)], "NSM GetRandom: reply"],
    ["a byte after them", [concat(random(256, 1), Uint8Array.of(0))], "NSM GetRandom: reply"],
    ["a byte too few", [random(256, 1).subarray(0, -1)], "NSM GetRandom: reply"],
    ["an error", [utf8("\xa1eError")], "NSM GetRandom: reply"],
    ["nothing", [new Uint8Array()], "NSM GetRandom: reply"],
    ["no reply at all", [], "NSM GetRandom: Input/output error"],
  ])("NSM04: random bytes that are none are refused: %s", async (_, replies, why) => {
    cmdline("");
    nsm(...replies);
    await heartbeat();
    const records = await takeReports();
    expect(await boot()).toContain(`init: ${why}`);
    expect(records[0]).toMatchObject({ level: "error", event: "init failed" });
    expect(existsSync(join(home, "rootfs/harness/random"))).toBe(false);
  });

  test("an emulated enclave does without a heartbeat", async () => {
    cmdline("cloister.platform=emulated\n");
    nsm(random(256, 1), random(256, 2));
    await listen(9000, (socket) => socket.end(Uint8Array.of(0)));
    const console = await boot();
    expect(console).toContain("init: heartbeat: Protocol error (no matter: emulated)");
    expect(console).toContain("application ended: code 0");
  }, 20_000);

  test.each<[string, () => void, string]>([
    ["a platform that is not known", () => cmdline("cloister.platform=other"), "init: cloister.platform: Invalid"],
    [
      "two platforms",
      () => cmdline("cloister.platform=emulated cloister.platform=nitro"),
      "init: cloister.platform: Invalid",
    ],
    [
      "a module that is not there",
      () => writeFileSync(join(home, "modules/order"), "gone.ko\n"),
      "init: gone.ko: No such",
    ],
    ["a module elsewhere", () => writeFileSync(join(home, "modules/order"), "../init\n"), "init: ../init"],
    ["no list of modules", () => rmSync(join(home, "modules/order")), "init: order: No such"],
    ["no folder of modules", () => rmSync(join(home, "modules"), { recursive: true }), "init: /modules: No such"],
    ["no exec file", () => rmSync(join(home, "cloister/exec")), "init: /cloister/exec: No such"],
    ["a mount point that is a file", () => replaceByFile("rootfs/proc"), "init: /proc: Not a directory"],
    ["no root", () => rmSync(join(home, "rootfs"), { recursive: true }), "init: root: No such"],
  ])("stops, says why, and reboots: %s", async (_, prepare, why) => {
    prepare();
    const console = await boot();
    expect(console).toContain(why);
    expect(console).not.toContain("application ended");
  });

  const strings = (...texts: readonly string[]) => utf8(texts.map((text) => `${text}\0`).join(""));
  const fields = ["cloister.exec.1", "/", "0", "0", "/bin/app", "0", "1", "app"];
  const changed = (at: number, ...texts: readonly string[]) => strings(...fields.toSpliced(at, 1, ...texts));
  test.each<[string, Uint8Array]>([
    ["empty", new Uint8Array()],
    ["no NUL at its end", strings(...fields).subarray(0, -1)],
    ["another version", changed(0, "cloister.exec.2")],
    ["a relative folder", changed(1, "tmp")],
    ["a user with a sign", changed(2, "+1")],
    ["a user with a leading zero", changed(2, "00")],
    ["a user of 32 ones", changed(2, "4294967295")],
    ["a group that is empty", changed(3, "")],
    ["a relative program", changed(4, "bin/app")],
    ["more variables than there are", changed(5, "9")],
    ["1025 variables", changed(5, "1025", ...Array<string>(1025).fill("a=b"))],
    ["a variable without =", changed(5, "1", "A")],
    ["no arguments", strings(...fields.slice(0, 6), "0")],
    ["fewer arguments than it says", changed(6, "2")],
    ["more after its end", strings(...fields, "x")],
    ["128 KiB and a byte", changed(7, "a".repeat(131_072))],
  ])("refuses an exec file: %s", async (_, bytes) => {
    exec(bytes);
    expect(await boot()).toMatch(/init: (exec file: |\/cloister\/exec: Invalid)/);
  });
});
