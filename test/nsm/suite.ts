/**
 * What every `NsmDevice` does, run against each implementation. An implementation gives a fresh device, its registers
 * as at boot.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { concat, equalBytes, isAllZero, utf8 } from "../../shared/bytes.ts";
import { type Cbor, decodeCbor } from "../../shared/cbor/decode.ts";
import { NSM_FIELD_MAX, type NsmDevice } from "../../shared/nsm/device.ts";
import { encodeNsmRequest } from "../../shared/nsm/messages.ts";
import { refusal } from "./refusal.ts";

export interface NsmUnderTest extends AsyncDisposable {
  readonly device: NsmDevice;
}

type Claims = ReadonlyMap<string | number, Cbor>;

export function claimsOf(document: Uint8Array): Claims {
  const cose = decodeCbor(document, { maxDepth: 4, indefinite: false }) as Cbor[];
  return decodeCbor(cose[2] as Uint8Array, { maxDepth: 4, indefinite: true }) as Claims;
}

export function describeNsm(name: string, open: () => Promise<NsmUnderTest>): void {
  describe(`NsmDevice: ${name}`, () => {
    let opened: NsmUnderTest;
    let device: NsmDevice;

    beforeEach(async () => {
      opened = await open();
      device = opened.device;
    });
    afterEach(async () => {
      await opened[Symbol.asyncDispose]();
    });

    test("describes itself: 32 registers, the first 16 locked, SHA-384", async () => {
      const description = await device.describe();
      expect(description.moduleId).toMatch(/^i-[0-9a-f]{17}-enc[0-9a-f]{16}$/);
      expect(description).toMatchObject({ maxPcrs: 32, digest: "SHA384", lockedPcrs: [...Array(16).keys()] });
    });

    test("PCR0, PCR1, PCR2 and PCR4 are measured, 5 to 31 are zero, locks are as described", async () => {
      const states = await Promise.all([...Array(32).keys()].map((index) => device.describePcr(index)));
      for (const index of [0, 1, 2, 4]) expect(isAllZero(states[index]?.value ?? new Uint8Array())).toBe(false);
      for (let index = 5; index < 32; index++) expect(isAllZero(states[index]?.value ?? Uint8Array.of(1))).toBe(true);
      expect(states.map(({ locked }) => locked)).toEqual([...Array(32).keys()].map((index) => index < 16));
    });

    test("extends a register: SHA-384(old ‖ data), twice", async () => {
      const sha384 = (...parts: Uint8Array[]) =>
        new Uint8Array(
          createHash("sha384")
            .update(concat(...parts))
            .digest(),
        );
      const first = sha384(new Uint8Array(48), utf8("a"));
      expect(await device.extendPcr(16, utf8("a"))).toEqual(first);
      expect(await device.extendPcr(16, utf8("b"))).toEqual(sha384(first, utf8("b")));
      expect((await device.describePcr(16)).value).toEqual(sha384(first, utf8("b")));
    });

    test("a locked register is not extended, and is in documents from then on", async () => {
      const value = await device.extendPcr(17, utf8("config"));
      expect((claimsOf(await device.attest({})).get("pcrs") as Claims).has(17)).toBe(false);
      await device.lockPcr(17);
      expect(await refusal(() => device.extendPcr(17, utf8("more")))).toBe("ERR_NSM_REFUSED ReadOnlyIndex");
      const pcrs = claimsOf(await device.attest({})).get("pcrs") as Claims;
      expect([...pcrs.keys()]).toEqual([...Array(16).keys(), 17]);
      expect(equalBytes(pcrs.get(17) as Uint8Array, value)).toBe(true);
    });

    test("NSM06 describe 65535 is refused", async () => {
      // QEMU takes an index beyond a byte for no request at all.
      await expect(device.describePcr(65_535)).rejects.toMatchObject({
        code: "ERR_NSM_REFUSED",
        details: { reason: expect.stringMatching(/^Invalid(Index|Operation)$/) },
      });
    });

    test.each([
      ["NSM06 extend 0", (nsm: NsmDevice) => nsm.extendPcr(0, utf8("x")), "ERR_NSM_REFUSED ReadOnlyIndex"],
      ["NSM06 extend 15", (nsm: NsmDevice) => nsm.extendPcr(15, utf8("x")), "ERR_NSM_REFUSED ReadOnlyIndex"],
      ["NSM06 extend 32", (nsm: NsmDevice) => nsm.extendPcr(32, utf8("x")), "ERR_NSM_REFUSED InvalidIndex"],
      ["NSM06 lock 15", (nsm: NsmDevice) => nsm.lockPcr(15), "ERR_NSM_REFUSED ReadOnlyIndex"],
      ["NSM06 lock 32", (nsm: NsmDevice) => nsm.lockPcr(32), "ERR_NSM_REFUSED InvalidIndex"],
      ["NSM06 describe 32", (nsm: NsmDevice) => nsm.describePcr(32), "ERR_NSM_REFUSED InvalidIndex"],
      ["describe 65536", (nsm: NsmDevice) => nsm.describePcr(65_536), "RangeError"],
      ["describe -1", (nsm: NsmDevice) => nsm.describePcr(-1), "RangeError"],
      ["describe 1.5", (nsm: NsmDevice) => nsm.describePcr(1.5), "RangeError"],
      ["NSM01 request of 4097 bytes", oversized, "ERR_NSM_INPUT_TOO_LARGE request"],
      [
        "NSM05 user_data of 1025",
        (nsm: NsmDevice) => nsm.attest({ userData: over }),
        "ERR_NSM_INPUT_TOO_LARGE userData",
      ],
      ["NSM05 nonce of 1025", (nsm: NsmDevice) => nsm.attest({ nonce: over }), "ERR_NSM_INPUT_TOO_LARGE nonce"],
      ["NSM05 key of 1025", (nsm: NsmDevice) => nsm.attest({ publicKey: over }), "ERR_NSM_INPUT_TOO_LARGE publicKey"],
    ])("%s is refused", async (_, call, expected) => {
      expect(await refusal(() => call(device))).toBe(expected);
    });

    test("a request of exactly 4096 bytes passes", async () => {
      await expect(device.extendPcr(20, new Uint8Array(requestRoom))).resolves.toHaveLength(48);
    });

    test("a document carries what was given, to the last of 1024 bytes, and null for what was not", async () => {
      const field = (byte: number) => new Uint8Array(NSM_FIELD_MAX).fill(byte);
      const claims = claimsOf(await device.attest({ publicKey: field(1), userData: field(2), nonce: field(3) }));
      expect(["public_key", "user_data", "nonce"].map((name) => (claims.get(name) as Uint8Array)[1023])).toEqual([
        1, 2, 3,
      ]);
      const empty = claimsOf(await device.attest({ nonce: new Uint8Array() }));
      expect([empty.get("public_key"), empty.get("user_data"), (empty.get("nonce") as Uint8Array).length]).toEqual([
        null,
        null,
        0,
      ]);
    });

    test("NSM07 a hundred calls at once each get their own answer", async () => {
      const nonces = Array.from({ length: 100 }, (_, index) => utf8(`nonce ${index}`));
      const documents = await Promise.all(nonces.map((nonce) => device.attest({ nonce })));
      const carried = documents.map((document) => claimsOf(document).get("nonce") as Uint8Array);
      expect(carried.map((nonce) => Buffer.from(nonce).toString())).toEqual(
        nonces.map((n) => Buffer.from(n).toString()),
      );
    });

    test("random blocks have 1 to 256 bytes and differ", async () => {
      const blocks = await Promise.all(Array.from({ length: 8 }, () => device.getRandom()));
      expect(new Set(blocks.map((block) => Buffer.from(block).toString("hex"))).size).toBe(8);
      for (const block of blocks) expect(block.length >= 1 && block.length <= 256).toBe(true);
    });

    test("after close every call is refused", async () => {
      await device.close();
      expect(await refusal(() => device.describe())).toMatch(/^ERR_NSM_UNAVAILABLE/);
    });

    // Last, and with what is locked above in mind: a real device keeps its registers until the machine ends.
    test("lockPcrs(20) locks 16 to 19 and no more; the whole range is accepted, one more is not", async () => {
      await device.lockPcrs(20);
      expect((await device.describe()).lockedPcrs).toEqual([...Array(20).keys()]);
      await device.lockPcrs(32);
      expect((await device.describe()).lockedPcrs).toEqual([...Array(32).keys()]);
      expect(await refusal(() => device.lockPcrs(33))).toBe("ERR_NSM_REFUSED InvalidIndex");
    });
  });
}

const over = new Uint8Array(NSM_FIELD_MAX + 1);
// What is left of 4096 bytes for the data, when its length takes three bytes.
const requestRoom = 4096 + 1000 - encodeNsmRequest({ kind: "ExtendPCR", index: 20, data: new Uint8Array(1000) }).length;

function oversized(nsm: NsmDevice): Promise<unknown> {
  return nsm.extendPcr(20, new Uint8Array(requestRoom + 1));
}
