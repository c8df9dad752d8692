import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Address } from "../../shared/transport/address.ts";
import { createVsockTransport } from "../../transport/vsock.ts";
import { codeOf } from "../transport/streams.ts";
import { BINARY, buildBinding, buildShim, bundleScenarios, lacking, sanitizers } from "./build.ts";
import { FAULTS } from "./faults.ts";
import { NSM_SCENARIOS } from "./nsm.ts";
import { SCENARIOS } from "./scenarios.ts";

const ALL = { ...SCENARIOS, ...FAULTS, ...NSM_SCENARIOS };
const missing = lacking();
const withCompiler = describe.skipIf(missing !== undefined);
const folder = mkdtempSync(join(tmpdir(), "cl-native-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Verdict {
  readonly scenario: string;
  readonly ok: boolean;
  readonly error?: string;
}

interface Ended {
  readonly verdicts: readonly Verdict[];
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

const built = { binding: "", shim: "", scenarios: "" };

/** A process of its own under the shim; ports apart from every other's. */
async function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const space = `${process.pid}-${Math.random()}`;
  const child = spawn(
    process.execPath,
    ["--expose-gc", built.scenarios, "--native", built.binding, "--shim", ...args],
    {
      env: { ...process.env, LD_PRELOAD: built.shim, VSOCK_SHIM_SPACE: space, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("close", (...ended) => resolve(ended)),
  );
  const verdicts = stdout.split("\n").filter((line) => line !== "");
  return { verdicts: verdicts.map((line) => JSON.parse(line) as Verdict), code, signal, stderr };
}

withCompiler(`native binding${missing === undefined ? "" : `: skipped, ${missing}`}`, () => {
  beforeAll(async () => {
    built.binding = buildBinding(join(folder, "plain"));
    built.shim = buildShim(folder);
    built.scenarios = await bundleScenarios(folder);
  }, 60_000);

  test.each(Object.keys(ALL))("%s", { timeout: 60_000 }, async (only) => {
    const { verdicts, code, stderr } = await run(["--only", only]);
    expect(verdicts).toEqual([{ scenario: only, ok: true, ms: expect.any(Number) }]);
    // It ended by itself: nothing was left that keeps a process alive.
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("a process exits in the midst of everything", async () => {
    const { verdicts, code, signal, stderr } = await run(["--busy"]);
    expect({ verdicts, code, signal, stderr }).toEqual({
      verdicts: [{ scenario: "exit", ok: true }],
      code: 0,
      signal: null,
      stderr: "",
    });
  });

  const libraries = missing === undefined ? sanitizers() : undefined;
  const title = "all of it with AddressSanitizer and UBSan: no report";
  test.skipIf(libraries === undefined)(title, { timeout: 180_000 }, async () => {
    const flags = "-g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer";
    const sanitized = buildBinding(join(folder, "sanitized"), flags);
    const { verdicts, code, stderr } = await run(["--native", sanitized, "--scale", "16"], {
      LD_PRELOAD: `${libraries} ${built.shim}`,
      // Node itself does not free everything at its end.
      ASAN_OPTIONS: "detect_leaks=0",
    });
    expect(verdicts.filter(({ ok }) => !ok)).toEqual([]);
    expect(verdicts).toHaveLength(Object.keys(ALL).length);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("the same source gives the same binary in another folder, without a path of this machine in it", () => {
    const again = readFileSync(buildBinding(join(folder, "again")));
    expect(again.equals(readFileSync(built.binding))).toBe(true);
    expect(again.includes(process.cwd())).toBe(false);
    expect(again.includes(folder)).toBe(false);
  });

  test("the C source can be read in one sitting", () => {
    const files = ["vsock.c", "nsm.c", "binding.h"].map((name) => new URL(`../../native/${name}`, import.meta.url));
    const lines = files.map((file) => readFileSync(file, "utf8").trimEnd().split("\n").length);
    expect(lines.reduce((sum, count) => sum + count, 0)).toBeLessThan(500);
  });
});

describe("vsock driver without a usable binding", () => {
  const address: Address = { kind: "vsock", cid: 1, port: 8001 };

  test("V20: a missing binary is said, for connect and for listen", async () => {
    const transport = createVsockTransport({ nativePath: join(folder, "none.node") });
    expect(await codeOf(transport.connect(address))).toBe("ERR_TRANSPORT_UNSUPPORTED");
    expect(await codeOf(transport.listen(address, () => {}, { allowedCids: [3] }))).toBe("ERR_TRANSPORT_UNSUPPORTED");
  });

  test("V14: a listener that nobody told whom to take is refused", async () => {
    const listen = createVsockTransport().listen(address, () => {});
    await expect(listen).rejects.toMatchObject({
      code: "ERR_CONFIG_FIELD_MISSING",
      details: { field: "allowedCids" },
    });
    const listening = createVsockTransport().listen(address, () => {}, { allowedCids: [-1] });
    await expect(listening).rejects.toBeInstanceOf(RangeError);
  });

  test("V20: a file that is no binary is said", async () => {
    const file = join(folder, BINARY);
    writeFileSync(file, "not ELF");
    expect(await codeOf(createVsockTransport({ nativePath: file }).connect(address))).toBe("ERR_TRANSPORT_UNSUPPORTED");
  });

  test.each([-1, 1.5, 2 ** 32, Number.NaN])("V15: %d is no port and no context id", async (number) => {
    const transport = createVsockTransport();
    for (const wrong of [
      { ...address, port: number },
      { ...address, cid: number },
    ]) {
      await expect(transport.connect(wrong)).rejects.toBeInstanceOf(RangeError);
      await expect(transport.listen(wrong, () => {})).rejects.toBeInstanceOf(RangeError);
    }
    expect(() => createVsockTransport({ allowedCids: [number] })).toThrow(RangeError);
  });

  test("V15: a port as text, another driver's address, are mistakes", async () => {
    const transport = createVsockTransport();
    const port = "8000" as unknown as number;
    await expect(transport.connect({ ...address, port })).rejects.toBeInstanceOf(TypeError);
    await expect(transport.connect({ kind: "unix", path: "/x" })).rejects.toBeInstanceOf(TypeError);
    expect(() => createVsockTransport({ allowedCids: ["3" as unknown as number] })).toThrow(TypeError);
  });
});
