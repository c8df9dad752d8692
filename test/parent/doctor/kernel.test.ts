import { describe, expect, test } from "vitest";
import { faultsOf, isOlder, KERNEL_FAULTS, readKernelVersion } from "../../../parent/doctor/kernel.ts";

const ids = (release: string): readonly string[] => {
  const version = readKernelVersion(release);
  return version ? faultsOf(version).map(({ id }) => id.replace("CVE-", "")) : ["no version"];
};

describe("A23: the table of known faults", () => {
  test.each<[string, readonly string[]]>([
    ["7.1.0", []],
    ["6.18.32", []],
    ["6.18.31", ["2026-46214"]],
    ["6.12.90-120.amzn2023.x86_64", []],
    ["6.12.42-1", ["2026-46214"]],
    ["6.12.41-1", ["2025-38618", "2026-46214"]],
    ["6.12.15", ["2025-21756", "2025-38618", "2026-46214"]],
    ["6.1.131-143.221.amzn2023", ["2025-38618", "2026-46214"]],
    ["6.1.116", ["2024-50264", "2025-21756", "2025-38618", "2026-46214"]],
    // A series between two that were mended, which nobody mends any more.
    ["6.8.0-60-generic", ["2024-50264", "2025-21756", "2025-38618", "2026-46214"]],
    ["5.10.12", ["2021-26708", "2021-3543", "2024-50264", "2025-21756", "2025-38618", "2026-46214"]],
    ["5.10.13", ["2021-3543", "2024-50264", "2025-21756", "2025-38618", "2026-46214"]],
    ["5.4.297", []],
    ["4.14.355-275.amzn2", ["2024-50264", "2025-38618"]],
    ["3.8.0", []],
  ])("%s", (release, expected) => {
    expect(ids(release)).toEqual(expected);
  });

  test("a release that is none has no version", () => {
    for (const release of ["", "linux", "6", "6.", "v6.1.1", "-6.1.1"]) {
      expect(readKernelVersion(release), release).toBeUndefined();
    }
    expect(readKernelVersion("7.0-rc3")).toEqual({ major: 7, minor: 0, patch: 0 });
  });

  test("what is mended lies between where it began and where it never was", () => {
    for (const { since, never, mended } of KERNEL_FAULTS) {
      const [from, to] = [since, never].map(([major, minor]) => ({ major, minor, patch: 0 }));
      for (const series of Object.keys(mended)) {
        const version = readKernelVersion(series);
        expect(version && from && !isOlder(version, from) && to && isOlder(version, to), series).toBe(true);
      }
    }
  });
});
