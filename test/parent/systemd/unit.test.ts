/** What the parent's unit promises to an enclave that outlives it. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const lines = readFileSync(new URL("../../../parent/systemd/cloister-parent.service", import.meta.url), "utf8").split(
  "\n",
);
const values = (name: string): readonly string[] =>
  lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));

describe("the parent's unit", () => {
  test("keeps the folder of the record over a stop: onExit: keep finds its enclave at the next start", () => {
    const [folder, ...more] = values("RuntimeDirectory");
    expect(more).toEqual([]);
    expect(values("Environment")).toContain(`XDG_RUNTIME_DIR=/run/${folder}`);
    expect(values("RuntimeDirectoryPreserve")).toEqual(["yes"]);
    expect(values("RuntimeDirectoryMode")).toEqual(["0700"]);
  });

  test("says so where it says how the enclave's process is kept", () => {
    expect(lines.indexOf("RuntimeDirectoryPreserve=yes") - lines.indexOf("KillMode=mixed")).toBe(1);
    expect(values("KillMode")).toEqual(["mixed"]);
  });
});
