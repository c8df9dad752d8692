import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { scratchFolder } from "../../transport/streams.ts";

const folder = fileURLToPath(new URL("../../../parent/systemd/", import.meta.url));
const units = readdirSync(folder).filter((name) => name.endsWith(".service"));
const ANALYZE = "/usr/bin/systemd-analyze";

/** A copy whose program exists: `cloister` is not installed where tests run. */
function copied(name: string): string {
  const path = join(scratchFolder(), name.replace("@", "@8000"));
  writeFileSync(path, readFileSync(join(folder, name), "utf8").replaceAll("/usr/bin/cloister", "/bin/true"));
  return path;
}

const analyze = (args: readonly string[]): string => {
  const { stdout, stderr } = spawnSync(ANALYZE, args, { encoding: "utf8", env: { PATH: "/usr/bin:/bin" } });
  return `${stdout}${stderr}`;
};

describe("the units", () => {
  test("are two", () => {
    expect(units.sort()).toEqual(["cloister-parent.service", "cloister-vsock-proxy@.service"]);
  });

  test.skipIf(!existsSync(ANALYZE)).each(units)("%s passes systemd-analyze verify", (name) => {
    expect(analyze(["verify", copied(name)])).toBe("");
  });

  test.skipIf(!existsSync(ANALYZE)).each(units)("%s is exposed 3 of 10 at most", (name) => {
    const score = /Overall exposure level for \S+: ([0-9.]+)/.exec(
      analyze(["security", "--offline=true", copied(name)]),
    )?.[1];
    expect(Number(score)).toBeLessThanOrEqual(3);
  });

  test.each(units)("%s tells systemd by a child, reloads by SIGHUP, and leaves time to drain", (name) => {
    const text = readFileSync(join(folder, name), "utf8");
    for (const line of ["Type=notify", "NotifyAccess=all", "ExecReload=/bin/kill -HUP $MAINPID", "TimeoutStopSec=60"]) {
      expect(text.split("\n")).toContain(line);
    }
  });
});
