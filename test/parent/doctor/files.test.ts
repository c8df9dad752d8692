/** What a tree of files says, and what the command reads of the image. */
import { chmodSync, constants, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { parentDoctor } from "../../../cli/commands/parent-doctor.ts";
import { hostFiles } from "../../../parent/doctor/finding.ts";
import { mockImage } from "../../launcher/fixture.ts";
import { scratchFolder } from "../../transport/streams.ts";

test("a file is asked for what it is to be used for, below the root", async () => {
  const asked: [string, number][] = [];
  const root = scratchFolder();
  const files = hostFiles({
    root,
    access: async (path, mode) => {
      asked.push([path, mode]);
      return true;
    },
  });
  await files.isWritable("/dev/x");
  await files.isExecutable("/bin/x");
  expect(asked).toEqual([
    [join(root, "dev/x"), constants.R_OK | constants.W_OK],
    [join(root, "bin/x"), constants.X_OK],
  ]);
});

describe("cloister parent doctor", () => {
  /** What the command says of an instance with 64 MiB set aside and a `nitro-cli` in /opt/bin. */
  async function findings(enclave: string): Promise<Record<string, { verdict: string; todo?: string }>> {
    const root = scratchFolder();
    const pages = join(root, "sys/kernel/mm/hugepages/hugepages-2048kB");
    mkdirSync(pages, { recursive: true });
    for (const name of ["nr_hugepages", "free_hugepages"]) writeFileSync(join(pages, name), "32\n");
    mkdirSync(join(root, "opt/bin"), { recursive: true });
    writeFileSync(join(root, "opt/bin/nitro-cli"), "");
    chmodSync(join(root, "opt/bin/nitro-cli"), 0o755);
    const config = join(root, "parent.yaml");
    writeFileSync(config, `enclave: {platform: nitro, ${enclave}}\n`, { mode: 0o600 });
    const lines: string[] = [];
    const print = (line: string): void => void lines.push(line);
    const args = ["--config", config, "--root", root, "--json"];
    await parentDoctor(args, { print, tell: print, paint: (_, text) => text, debug: false });
    const found: { check: string; verdict: string; todo?: string }[] = JSON.parse(lines[0] ?? "").findings;
    return Object.fromEntries(found.map(({ check, ...rest }) => [check, rest]));
  }

  test("compares what is set aside with what the image needs, where the file does not say", async () => {
    const { eifPath } = await mockImage(scratchFolder());
    expect((await findings(`image: ${eifPath}`))["memory"]).toMatchObject({ verdict: "ok" });
    const large = await mockImage(scratchFolder(), `//${"x".repeat(17 * 1024 * 1024)}`);
    const todo = expect.stringMatching(/^set memory_mib: (69|7[0-9]) /);
    expect((await findings(`image: ${large.eifPath}`))["memory"]).toMatchObject({ verdict: "fail", todo });
    const missing = { verdict: "warn", todo: expect.stringContaining("ERR_EIF_FILE") };
    expect((await findings("image: none.eif"))["memory"]).toMatchObject(missing);
  });

  test("looks for nitro-cli where PATH leads, and not at all for an enclave that something else runs", async () => {
    vi.stubEnv("PATH", "/sbin:/opt/bin");
    expect((await findings("image: none.eif"))["nitro-cli"]?.verdict).toBe("ok");
    vi.stubEnv("PATH", "/sbin");
    expect((await findings("image: none.eif"))["nitro-cli"]?.verdict).toBe("fail");
    expect(Object.keys(await findings("attach: vsock://16"))).not.toContain("nitro-cli");
    vi.unstubAllEnvs();
  });
});
