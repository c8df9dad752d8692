/**
 * The compliance suites on a real kernel: an enclave boots from our own image, runs them, and sends a line for each test
 * over vsock. Each becomes a test here, so that the summary counts it.
 */
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { EmulatedInstance } from "../../mock/emulator/instance.ts";
import { createTransport } from "../../transport/index.ts";
import { emulator, hasEmulator } from "./emulator.ts";
import { bundle, enclaveImage, workFolder } from "./images.ts";

const CID = 4;
/** What needs the guest's kernel; the other drivers' suites run anywhere. */
const SUITES = ["nsm", "native", "vsock"];
const RESULTS_PORT = 9100;
const GUEST_MS = 600_000;

interface Result {
  readonly event: "result";
  readonly suite: string;
  readonly test: string;
  readonly state: "passed" | "failed" | "skipped";
  readonly errors?: readonly { readonly message: string }[];
  readonly reason?: string;
}
interface Summary {
  readonly event: "summary";
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface GuestRun {
  readonly results: readonly Result[];
  readonly summary: Summary | undefined;
  readonly console: string;
  readonly retries: number;
}

async function runInGuest(): Promise<GuestRun> {
  const folder = workFolder();
  try {
    await using instance = await EmulatedInstance.start({ files: emulator, folder, cids: [CID] });
    const vitest = fileURLToPath(new URL("../guest/vitest.ts", import.meta.url));
    const program = await bundle("../guest/main.ts", { vitest });
    const exec = {
      arguments: ["node", "--expose-gc", "/app/main.mjs"],
      environment: [
        `GUEST_SINK=vsock://2:${RESULTS_PORT}`,
        `GUEST_SUITES=${SUITES.join()}`,
        "GUEST_SLOWNESS=10",
        "CONNECTIONS=1000",
        "CLOISTER_NATIVE=/native/prebuilds/linux-x64.node",
      ],
    };
    const image = await enclaveImage(
      emulator,
      { files: new Map([["main.mjs", program]]), exec },
      `${folder}/suite.eif`,
    );
    const lines: (Result | Summary)[] = [];
    const address = { kind: "hybrid", path: `${folder}/${CID}.vsock`, port: RESULTS_PORT } as const;
    await using _ = await createTransport().listen(address, (socket) => {
      createInterface({ input: socket }).on("line", (text) => {
        const line = JSON.parse(text) as Result | Summary;
        lines.push(line);
        // The vsock back end does not tell the host that the guest has ended its direction.
        if (line.event === "summary") socket.end();
      });
    });
    const { guest } = await instance.bootEnclave({ eifPath: image.path, cid: CID, memoryMiB: 2048 });
    await guest.says(/^init: application ended/m, GUEST_MS).catch(() => undefined);
    const results = lines.filter((line) => line.event === "result");
    return {
      results,
      summary: lines.find((line) => line.event === "summary"),
      console: guest.console,
      retries: instance.retries,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const run = hasEmulator ? await runInGuest() : undefined;

describe.skipIf(!run)("the suites in an enclave that boots (needs `make emulator`)", () => {
  afterAll(() => {
    if (run?.summary)
      process.stdout.write(`in the guest: ${JSON.stringify(run.summary)}, boots repeated: ${run.retries}\n`);
  });

  test("the guest told of every test", () => {
    expect(run?.summary, run?.console.slice(-4_000)).toMatchObject({ failed: 0 });
    const { passed = 0, skipped = 0 } = run?.summary ?? {};
    expect(passed + skipped).toBe(run?.results.length);
    for (const suite of SUITES) {
      const of = run?.results.filter((result) => result.suite === suite) ?? [];
      expect(of.filter(({ state }) => state === "passed").length, suite).toBeGreaterThan(10);
      expect(of.map(({ test: title }) => title)).not.toContain("(all)");
    }
  });

  for (const { suite, test: title, state, errors, reason } of run?.results ?? []) {
    test.skipIf(state === "skipped")(`${suite}: ${title}${reason === undefined ? "" : ` (${reason})`}`, () => {
      expect(errors ?? []).toEqual([]);
      expect(state).toBe("passed");
    });
  }
});
