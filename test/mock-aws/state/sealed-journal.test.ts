import { createCipheriv, randomBytes, scryptSync } from "node:crypto";
import { chmodSync, existsSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { type FileHandle, open, readFile, rename, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { keyWrapperOf } from "../../../mock/aws/state/data-key.ts";
import { openSealedJournal } from "../../../mock/aws/state/sealed-journal.ts";
import {
  batchesIn,
  changeFile,
  codeOf,
  journalFile,
  newDirectory,
  TOKEN,
  tokenSecret,
  writtenJournal,
} from "./testbed.ts";
import { tokenOf } from "./token.ts";

const PASSPHRASE = { kind: "passphrase", passphrase: "correct horse battery" } as const;
const FRAME_OVERHEAD = 12 + 12 + 16;

/** Where the header of a journal ends, if these are its batches. */
function headerBytes(size: number, batches: readonly string[]): number {
  return batches.reduce((rest, batch) => rest - FRAME_OVERHEAD - Buffer.byteLength(batch), size);
}

const textOf = (batch: Uint8Array): string => Buffer.from(batch).toString();

/** What all open files share: where a test can stand between the journal and its disk. */
async function fileHandlePrototype(): Promise<FileHandle> {
  const handle = await open("/dev/null");
  await handle.close();
  return Object.getPrototypeOf(handle) as FileHandle;
}

async function openedCode(directory: string): Promise<string> {
  return codeOf(batchesIn(directory));
}

describe("what was appended", () => {
  test("is there when it is opened again, time after time", async () => {
    const directory = await writtenJournal("one", "", "three");
    for (let i = 0; i < 3; i++) {
      const journal = await openSealedJournal({ directory, secret: TOKEN });
      await journal.append(Buffer.from(`more ${i}`));
      await journal.close();
    }
    expect(await batchesIn(directory)).toEqual(["one", "", "three", "more 0", "more 1", "more 2"]);
  });

  test("does not show in the file, and the same written twice does not look the same", async () => {
    const secret = "arn:aws:kms:eu-central-1:111122223333:alias/payroll";
    const path = journalFile(await writtenJournal(secret, secret));
    const bytes = await readFile(path);
    expect(bytes.includes("payroll")).toBe(false);
    const size = FRAME_OVERHEAD + secret.length;
    const [first, second] = [bytes.subarray(-2 * size, -size), bytes.subarray(-size)];
    expect(first.subarray(24).equals(second.subarray(24))).toBe(false);
  });

  test("is replaced as a whole, and asks for it when it has grown", async () => {
    const directory = newDirectory();
    const journal = await openSealedJournal({ directory, secret: TOKEN, overgrownBytes: 2000 });
    expect(journal.isOvergrown).toBe(false);
    for (let i = 0; !journal.isOvergrown; i++) await journal.append(Buffer.alloc(100, i));
    expect(statSync(journalFile(directory)).size).toBeGreaterThan(2000);
    await journal.replace([Buffer.from("kept"), Buffer.alloc(1500, "x")]);
    expect(journal.isOvergrown).toBe(false);
    // It is longer than 2000 soon, and only then than three times what it was begun with.
    while (!journal.isOvergrown) await journal.append(Buffer.alloc(100, "y"));
    expect(statSync(journalFile(directory)).size).toBeGreaterThan(3 * 1700);
    await journal.append(Buffer.from("after"));
    await journal.close();
    const batches = await batchesIn(directory);
    expect([batches[0], batches[1]?.length, batches.at(-1)]).toEqual(["kept", 1500, "after"]);
  });

  test("stays, where the one that was to replace it was not finished", async () => {
    const directory = await writtenJournal("old");
    await writeFile(`${directory}/journal.new`, "half of a jour", { mode: 0o600 });
    expect(await batchesIn(directory)).toEqual(["old"]);
    expect(existsSync(`${directory}/journal.new`)).toBe(false);
    const journal = await openSealedJournal({ directory, secret: TOKEN });
    const broken = (function* (): Iterable<Uint8Array> {
      yield Buffer.from("new");
      throw new RangeError("in the middle");
    })();
    await expect(journal.replace(broken)).rejects.toThrow(RangeError);
    await journal.close();
    expect(await batchesIn(directory)).toEqual(["old"]);
  });
});

describe("the disk", () => {
  test("has a batch when its append resolves: written, then synced", async () => {
    const directory = newDirectory();
    const journal = await openSealedJournal({ directory, secret: TOKEN });
    const before = statSync(journalFile(directory)).size;
    const sizes: number[] = [];
    const synced = vi.spyOn(await fileHandlePrototype(), "datasync").mockImplementation(async () => {
      sizes.push(statSync(journalFile(directory)).size);
      throw Object.assign(new Error("fdatasync"), { code: "EIO", syscall: "fdatasync" });
    });
    expect(await codeOf(journal.append(Buffer.from("ab")))).toBe("EIO");
    expect(sizes).toEqual([before + FRAME_OVERHEAD + 2]);
    synced.mockRestore();
    await journal.close();
  });

  test("has a journal before it has its name, and the name when it is replaced", async () => {
    const directory = await writtenJournal("old");
    const journal = await openSealedJournal({ directory, secret: TOKEN });
    const synced = vi.spyOn(await fileHandlePrototype(), "sync");
    const seen: string[][] = [];
    synced.mockImplementation(async () => {
      seen.push(readdirSync(directory).filter((name) => name.startsWith("journal")));
    });
    await journal.replace([Buffer.from("new")]);
    expect(seen).toEqual([["journal", "journal.new"], ["journal"]]);
    synced.mockImplementation(async () => {
      throw Object.assign(new Error("fsync"), { code: "EIO", syscall: "fsync" });
    });
    expect(await codeOf(journal.replace([Buffer.from("newer")]))).toBe("EIO");
    synced.mockRestore();
    await journal.close();
    expect(await batchesIn(directory)).toEqual(["new"]);
  });

  test("that refuses while a state is opened is named by what it said", async () => {
    const synced = vi.spyOn(await fileHandlePrototype(), "sync").mockImplementation(async () => {
      throw Object.assign(new Error("fsync"), { code: "EIO", syscall: "fsync" });
    });
    const directory = newDirectory();
    const opening = openSealedJournal({ directory, secret: TOKEN });
    await expect(opening).rejects.toMatchObject({ code: "ERR_STATE_FAILED", details: { reason: "EIO" } });
    synced.mockRestore();
    expect(await batchesIn(directory)).toEqual([]);
  });
});

describe("a crash", () => {
  const BATCHES = ["first", "the second batch", "3"];

  test("at whatever byte leaves the batches that were whole, and the next goes after them", async () => {
    const directory = await writtenJournal(...BATCHES);
    const whole = await readFile(journalFile(directory));
    let boundary = headerBytes(whole.length, BATCHES);
    const boundaries = BATCHES.map((batch) => (boundary += FRAME_OVERHEAD + batch.length));
    for (let length = headerBytes(whole.length, BATCHES); length <= whole.length; length++) {
      await writeFile(journalFile(directory), whole.subarray(0, length));
      const kept = BATCHES.filter((_, i) => (boundaries[i] ?? 0) <= length);
      const journal = await openSealedJournal({ directory, secret: TOKEN });
      expect(journal.take().map(textOf), `cut at ${length}`).toEqual(kept);
      await journal.append(Buffer.from("next"));
      await journal.close();
      expect(await batchesIn(directory), `cut at ${length}`).toEqual([...kept, "next"]);
    }
  });

  test.each([1, 12, 30, 50])("that left %i promised bytes unwritten costs the last batch alone", async (unwritten) => {
    const directory = await writtenJournal("kept", "x".repeat(60));
    await changeFile(journalFile(directory), (bytes) => bytes.fill(0, bytes.length - 16 - unwritten));
    expect(await batchesIn(directory)).toEqual(["kept"]);
    await changeFile(journalFile(directory), (bytes) => Buffer.concat([bytes, Buffer.alloc(unwritten)]));
    expect(await batchesIn(directory)).toEqual(["kept"]);
  });

  test("within the header, which is whole before it has its name, is no crash", async () => {
    const directory = await writtenJournal();
    const whole = await readFile(journalFile(directory));
    for (const length of [0, 10, 17, 18, 19, 20, whole.length - 1]) {
      await writeFile(journalFile(directory), whole.subarray(0, length));
      expect(await openedCode(directory), `cut at ${length}`).toBe("ERR_STATE_MALFORMED");
    }
  });
});

describe("a change of the file", () => {
  const BATCHES = ["first", "second", "third"];
  let whole = Buffer.alloc(0);
  let directory = "";

  beforeAll(async () => {
    directory = await writtenJournal(...BATCHES);
    whole = await readFile(journalFile(directory));
    directory = newDirectory();
  });

  async function codeWith(bytes: Uint8Array): Promise<string> {
    const journal = await openSealedJournal({ directory: (directory = newDirectory()), secret: TOKEN });
    await journal.close();
    await writeFile(journalFile(directory), bytes);
    return openedCode(directory);
  }

  test("of any one byte is refused", async () => {
    const known = new Set(["ERR_STATE_MALFORMED", "ERR_STATE_SECRET"]);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const changed = Uint8Array.from(whole);
        changed[at] = (changed[at] ?? 0) ^ mask;
        expect(known).toContain(await codeWith(changed));
      }),
      { numRuns: 150, examples: Array.from({ length: 12 }, (_, i) => [headerBytes(whole.length, BATCHES) + i, 0x80]) },
    );
  });

  test("of the length of a frame is refused, and never taken for a crash that costs what came after", async () => {
    const header = headerBytes(whole.length, BATCHES);
    for (const length of [0, 4, 6, 50, 0x7fffffff, 0xffffffff]) {
      const changed = Buffer.from(whole);
      changed.writeUInt32BE(length, header);
      expect(await codeWith(changed), `length ${length}`).toBe("ERR_STATE_MALFORMED");
    }
  });

  test("of the order is refused: frames left out, put in twice, exchanged, or of an older time", async () => {
    const header = headerBytes(whole.length, BATCHES);
    const head = whole.subarray(0, header);
    let at = header;
    const frames = BATCHES.map((batch) => whole.subarray(at, (at += FRAME_OVERHEAD + batch.length)));
    const orders = [[1], [2], [0, 2], [1, 0], [0, 0], [0, 1, 1], [0, 2, 1], [0, 1, 2, 2], [0, 1, 2, 0], [2, 1, 0]];
    for (const order of orders) {
      const bytes = Buffer.concat([head, ...order.map((i) => frames[i] ?? head)]);
      expect(await codeWith(bytes), String(order)).toBe("ERR_STATE_MALFORMED");
    }
  });

  test("by frames of another journal of the same state is refused", async () => {
    const own = newDirectory();
    const journal = await openSealedJournal({ directory: own, secret: TOKEN });
    await journal.append(Buffer.from("aa"));
    await rename(journalFile(own), `${own}/older`);
    await journal.replace([Buffer.from("bb")]);
    await journal.close();
    const [older, newer] = [await readFile(`${own}/older`), await readFile(journalFile(own))];
    const size = FRAME_OVERHEAD + 2;
    await writeFile(journalFile(own), Buffer.concat([newer.subarray(0, -size), older.subarray(-size)]));
    expect(await openedCode(own)).toBe("ERR_STATE_MALFORMED");
    await writeFile(journalFile(own), newer);
    expect(await batchesIn(own)).toEqual(["bb"]);
  });

  test("by something else altogether is refused", async () => {
    expect(await codeWith(randomBytes(4096))).toBe("ERR_STATE_MALFORMED");
    expect(await codeWith(Buffer.concat([whole, randomBytes(64)]))).toBe("ERR_STATE_MALFORMED");
    expect(await codeWith(Buffer.from(whole.toString("latin1").replace("state 1", "state 2"), "latin1"))).toBe(
      "ERR_STATE_MALFORMED",
    );
    const noKind = Buffer.from(whole);
    noKind[17] = 3;
    expect(await codeWith(noKind)).toBe("ERR_STATE_MALFORMED");
  });
});

describe("the secret", () => {
  test("a passphrase opens what it sealed, in either spelling of Unicode; another does not, nor does a token", async () => {
    const directory = newDirectory();
    const secret = { kind: "passphrase", passphrase: "caf\u00e9 au lait" } as const;
    const journal = await openSealedJournal({ directory, secret });
    await journal.append(Buffer.from("one"));
    await journal.replace([Buffer.from("two")]);
    await journal.close();
    const again = await openSealedJournal({ directory, secret: { ...secret, passphrase: "cafe\u0301 au lait" } });
    expect(again.take().map(textOf)).toEqual(["two"]);
    await again.close();
    expect(await codeOf(openSealedJournal({ directory, secret: PASSPHRASE }))).toBe("ERR_STATE_SECRET");
    expect(await openedCode(directory)).toBe("ERR_STATE_SECRET");
  });

  test("of one kind is not tried on a state that is sealed under the other", async () => {
    const directory = newDirectory();
    await (await openSealedJournal({ directory, secret: PASSPHRASE })).close();
    const asked = vi.fn(async () => Buffer.alloc(32));
    const opening = openSealedJournal({ directory, secret: tokenSecret({ ...tokenOf(1), unwrap: asked }) });
    const details = { path: directory, sealedUnder: "passphrase", given: "token" };
    await expect(opening).rejects.toMatchObject({ code: "ERR_STATE_SECRET", details });
    expect(asked).not.toHaveBeenCalled();
  });

  test("a token's key opens what it sealed; another does not, nor does one that wraps without authenticating", async () => {
    const directory = await writtenJournal("one");
    const code = (wrapper: ReturnType<typeof tokenOf>): Promise<string> =>
      codeOf(openSealedJournal({ directory, secret: tokenSecret(wrapper) }));
    expect(await code(tokenOf(2))).toBe("ERR_STATE_SECRET");
    expect(await code({ ...tokenOf(1), unwrap: async () => Buffer.alloc(32) })).toBe("ERR_STATE_SECRET");
    expect(await code({ ...tokenOf(1), unwrap: async () => Buffer.alloc(31) })).toBe("ERR_STATE_SECRET");
    expect(await codeOf(openSealedJournal({ directory, secret: PASSPHRASE }))).toBe("ERR_STATE_SECRET");
    expect(await batchesIn(directory)).toEqual(["one"]);
  });

  test.each([
    [17, 8, 1, "opened"],
    [16, 8, 1, "refused"],
    [17, 7, 1, "refused"],
    [17, 8, 0, "refused"],
    [17, 8, 200, "refused"],
    [30, 8, 1, "refused"],
  ])("scrypt with N = 2^%i, r = %i, p = %i is %s, with a key that is right", async (log2N, r, p, verdict) => {
    const { passphrase } = PASSPHRASE;
    const parameters = Buffer.concat([Buffer.of(log2N, r, p), Buffer.alloc(16, 5)]);
    // Those that are refused for their cost are never computed, here neither.
    const N = 2 ** Math.min(log2N, 17);
    const options = { N, r, p: Math.min(Math.max(p, 1), 4), maxmem: 2 ** 28 };
    const cipher = createCipheriv(
      "aes-256-gcm",
      scryptSync(passphrase, parameters.subarray(3), 32, options),
      Buffer.alloc(12),
    );
    cipher.setAAD(parameters);
    const key = Buffer.alloc(32, 9);
    const sealed = Buffer.concat([cipher.update(key), cipher.final(), cipher.getAuthTag()]);
    const unwrapped = keyWrapperOf(PASSPHRASE).unwrap(Buffer.concat([parameters, Buffer.alloc(12), sealed]));
    const outcome = await unwrapped.then(
      (plain) => (key.equals(plain) ? "opened" : "other"),
      () => "refused",
    );
    expect(outcome).toBe(verdict);
  });

  test("a new state is made with N = 2^17, r = 8, p = 1", async () => {
    const directory = newDirectory();
    await (await openSealedJournal({ directory, secret: PASSPHRASE })).close();
    const bytes = await readFile(journalFile(directory));
    expect([...bytes.subarray(17, 23)]).toEqual([1, 0, 79, 17, 8, 1]);
  });

  test("a short passphrase is a mistake of the configuration", async () => {
    const directory = newDirectory();
    const open = (passphrase: string) => openSealedJournal({ directory, secret: { kind: "passphrase", passphrase } });
    expect(await codeOf(open("1234567"))).toBe("ERR_CONFIG_FIELD_INVALID");
    expect(readdirSync(directory)).toEqual([]);
    await (await open("12345678")).close();
  });

  test("is not in the error", async () => {
    const directory = await writtenJournal();
    const error = await openSealedJournal({ directory, secret: PASSPHRASE }).catch((error: Error) => error);
    expect(JSON.stringify(error)).not.toContain(PASSPHRASE.passphrase);
  });
});

describe("the journal's file", () => {
  test("is this user's alone, before and after it is replaced", async () => {
    const directory = newDirectory();
    const journal = await openSealedJournal({ directory, secret: TOKEN });
    const mode = (): number => statSync(journalFile(directory)).mode & 0o777;
    expect([mode(), statSync(directory).mode & 0o777]).toEqual([0o600, 0o700]);
    await journal.replace([]);
    expect(mode()).toBe(0o600);
    await journal.close();
  });

  test("is refused where others may read or write it, where it is a link, and where it is no file", async () => {
    const directory = await writtenJournal();
    for (const mode of [0o640, 0o604, 0o602]) {
      chmodSync(journalFile(directory), mode);
      expect(await openedCode(directory)).toBe("ERR_STATE_DIRECTORY");
    }
    chmodSync(journalFile(directory), 0o600);
    await rename(journalFile(directory), `${directory}/elsewhere`);
    symlinkSync("elsewhere", journalFile(directory));
    expect(await openedCode(directory)).toBe("ERR_STATE_DIRECTORY");
  });
});
