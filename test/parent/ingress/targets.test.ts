import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Balance, type Target, TargetSet } from "../../../parent/ingress/targets.ts";
import type { Address } from "../../../shared/transport/address.ts";

const enclave = (cid: number): Address => ({ kind: "vsock", cid, port: 8080 });
const set = (cids: readonly number[], balance: Balance = "least-connections"): TargetSet =>
  new TargetSet(cids.map(enclave), balance, { unhealthyAfter: 2, healthyAfter: 2 });
const NONE: ReadonlySet<Target> = new Set();
const chosen = (targets: TargetSet, tried: ReadonlySet<Target> = NONE): Target => {
  const target = targets.choose(tried);
  if (!target) throw new Error("none chosen");
  return target;
};
const named = (targets: TargetSet, cid: number): Target => {
  const found = targets.all.find(({ name }) => name === `vsock://${cid}:8080`);
  if (!found) throw new Error("no such target");
  return found;
};
const fail = (targets: TargetSet, cid: number, times: number): boolean[] =>
  Array.from({ length: times }, () => targets.note(named(targets, cid), false));

describe("the enclaves behind a door", () => {
  test("least connections: the numbers differ by one at most, and a place that is free again is used", () => {
    const targets = set([16, 17, 18]);
    const releases = Array.from({ length: 10 }, () => {
      const target = chosen(targets);
      return [target.name, targets.occupy(target)] as const;
    });
    expect(targets.health().map(({ open }) => open)).toEqual(expect.arrayContaining([3, 3, 4]));
    for (const [name, release] of releases) if (name === "vsock://17:8080") release();
    expect(chosen(targets).name).toBe("vsock://17:8080");
    for (const [, release] of releases) release();
    expect(targets.health().map(({ open }) => open)).toEqual([0, 0, 0]);
  });

  test("round robin: one after the other, whoever is busy", () => {
    const targets = set([16, 17, 18], "round-robin");
    targets.occupy(named(targets, 17));
    const names = Array.from({ length: 6 }, () => chosen(targets).name.slice(8, 10));
    expect(names).toEqual(["16", "17", "18", "16", "17", "18"]);
  });

  test("unhealthy after two failures in a row and not after one; healthy again after two successes in a row", () => {
    const targets = set([16, 17]);
    const of16 = named(targets, 16);
    expect(fail(targets, 16, 1)).toEqual([false]);
    targets.note(of16, true);
    expect(fail(targets, 16, 2)).toEqual([false, true]);
    for (let i = 0; i < 4; i++) expect(targets.occupy(chosen(targets)) && chosen(targets).name).toBe("vsock://17:8080");
    expect(targets.note(of16, true)).toBe(false);
    targets.note(of16, false);
    expect([targets.note(of16, true), targets.note(of16, true)]).toEqual([false, true]);
    expect(chosen(targets).name).toBe("vsock://16:8080");
  });

  test("when none is healthy all are tried, each once", () => {
    const targets = set([16, 17]);
    fail(targets, 16, 2);
    fail(targets, 17, 2);
    const tried = new Set([chosen(targets)]);
    tried.add(chosen(targets, tried));
    expect(tried.size).toBe(2);
    expect(targets.choose(tried)).toBeUndefined();
    expect(set([]).choose(NONE)).toBeUndefined();
  });

  test("new targets: what stays keeps its state, what is new is well, what is gone is not chosen", () => {
    const targets = set([16, 17]);
    fail(targets, 16, 2);
    const release = targets.occupy(named(targets, 17));
    targets.replace([enclave(16), enclave(18)]);
    expect(targets.health()).toEqual([
      { address: enclave(16), healthy: false, open: 0 },
      { address: enclave(18), healthy: true, open: 0 },
    ]);
    release();
    expect(chosen(targets).name).toBe("vsock://18:8080");
  });

  test.each<[string, number[], string]>([
    ["one twice", [16, 17, 16], "targets[2]"],
    ["257", Array.from({ length: 257 }, (_, i) => i + 16), "targets"],
  ])("%s: refused, and the old ones stay", (_, cids, field) => {
    const targets = set([16]);
    expect(() => targets.replace(cids.map(enclave))).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_FIELD_INVALID", details: expect.objectContaining({ field }) }),
    );
    expect(targets.all.map(({ name }) => name)).toEqual(["vsock://16:8080"]);
    expect(() => set([16]).replace(Array.from({ length: 256 }, (_, i) => enclave(i + 16)))).not.toThrow();
  });

  test("whatever happens: no target is tried twice for a connection, and counts never go below zero", () => {
    const step = fc.record({ cid: fc.integer({ min: 16, max: 20 }), success: fc.boolean(), release: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), fc.constantFrom<Balance>("least-connections", "round-robin"), (steps, balance) => {
        const targets = set([16, 17, 18, 19, 20], balance);
        const releases: (() => void)[] = [];
        for (const { cid, success, release } of steps) {
          targets.note(named(targets, cid), success);
          const tried = new Set<Target>();
          for (let next = targets.choose(tried); next; next = targets.choose(tried)) {
            expect(tried.has(next)).toBe(false);
            tried.add(next);
            releases.push(targets.occupy(next));
          }
          expect(tried.size).toBe(5);
          if (release) for (const done of releases) done();
          expect(targets.health().every(({ open }) => open >= 0)).toBe(true);
        }
      }),
    );
  });
});
