/**
 * How fast a stream is sealed and opened, beside the Encryption SDK's own stream and beside bare AES-256-GCM; and what a
 * hit of the cache of data keys costs, beside the library's caching manager.
 *
 *   node dist/bench/data/run.js [MiB of the stream, default 64]
 *
 * One process, from memory to memory, KMS replaced by a constant: what is measured is the work on the bytes. Contestants
 * take turns, ratios are taken within a round.
 *
 * @module
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  getLocalCryptographicMaterialsCache,
  KmsKeyringNode,
  NodeAlgorithmSuite,
  NodeCachingMaterialsManager,
  type NodeMaterialsManager,
} from "@aws-crypto/client-node";
import { createMaterialsCache } from "../../enclave/data/materials-cache.ts";
import type { KmsCalls } from "../../shared/envelope/materials.ts";
import { openStream } from "../../shared/envelope/open-stream.ts";
import { type Suite, sealStream } from "../../shared/envelope/seal-stream.ts";
import { machine } from "../machine.ts";
import { absolute, alternate, type Contestant, quietness, ratio } from "../rounds.ts";

const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const MIB = Number(process.argv[2] ?? 64);
const PIECE = 65_536;
const context = { dataset: "bench" };
const SUITES: Readonly<Record<Suite, number>> = {
  signed: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
  unsigned: AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY,
};
const commitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT;
const library = buildClient({ commitmentPolicy, maxEncryptedDataKeys: 1 });

const dataKey = randomBytes(32);
const kms: KmsCalls = {
  generateDataKey: async ({ KeyId }) => ({
    ...{ $metadata: {}, KeyId, Plaintext: new Uint8Array(dataKey), CiphertextBlob: new Uint8Array(64) },
  }),
  encrypt: () => Promise.reject(new Error("not called")),
  decrypt: async ({ KeyId }) => ({ $metadata: {}, KeyId, Plaintext: new Uint8Array(dataKey) }),
};
const keyring = new KmsKeyringNode({ generatorKeyId: KEY, clientProvider: () => kms as never });
const access = { kms, keyArn: KEY, context } as const;

function* pieces(bytes: Uint8Array): Generator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

async function drain(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const piece of stream) size += piece.length;
  if (size < MIB << 20) throw new Error(`${size} bytes came`);
  return MIB;
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

interface Shape {
  readonly name: string;
  readonly frameBytes: number;
}
const SHAPES: readonly Shape[] = [
  { name: "64 KiB", frameBytes: 1 << 16 },
  { name: "1 MiB", frameBytes: 1 << 20 },
];

function sealers(plaintext: Uint8Array, suite: Suite): readonly Contestant[] {
  const byLibrary = (frameLength: number) => async (): Promise<number> => {
    const stream = library.encryptStream(keyring, { suiteId: SUITES[suite], encryptionContext: context, frameLength });
    return drain(Readable.from(pieces(plaintext)).pipe(stream) as unknown as AsyncIterable<Uint8Array>);
  };
  return [
    { name: "bare AES-256-GCM", run: async () => bare(plaintext) },
    { name: "library, 4 KiB", run: byLibrary(4096) },
    ...SHAPES.flatMap(({ name, frameBytes }) => [
      { name: `library, ${name}`, run: byLibrary(frameBytes) },
      { name: `cloister, ${name}`, run: () => drain(sealStream(pieces(plaintext), { ...access, suite, frameBytes })) },
    ]),
  ];
}

async function openers(plaintext: Uint8Array, suite: Suite): Promise<readonly Contestant[]> {
  const sealedIn = (frameBytes: number): Promise<Uint8Array> =>
    collect(sealStream(pieces(plaintext), { ...access, suite, frameBytes }));
  const byLibrary = (message: Uint8Array) => (): Promise<number> =>
    drain(Readable.from(pieces(message)).pipe(library.decryptStream(keyring)) as unknown as AsyncIterable<Uint8Array>);
  const contestants: Contestant[] = [
    { name: "bare AES-256-GCM", run: async () => bare(plaintext) },
    { name: "library, 4 KiB", run: byLibrary(await sealedIn(4096)) },
  ];
  for (const { name, frameBytes } of SHAPES) {
    const message = await sealedIn(frameBytes);
    const options = { ...access, dataset: "bench", suite, maxHeldBytes: plaintext.length };
    contestants.push({ name: `library, ${name}`, run: byLibrary(message) });
    contestants.push({ name: `cloister, ${name}`, run: () => drain(openStream(pieces(message), options)) });
    if (suite === "signed")
      contestants.push({
        name: `cloister, ${name}, read twice`,
        run: () => drain(openStream(() => pieces(message), { ...options, maxHeldBytes: 0 })),
      });
  }
  return contestants;
}

function bare(plaintext: Uint8Array): number {
  for (const piece of pieces(plaintext)) {
    const cipher = createCipheriv("aes-256-gcm", dataKey, randomBytes(12));
    cipher.update(piece);
    cipher.final();
    cipher.getAuthTag();
  }
  return MIB;
}

async function compare(title: string, contestants: readonly Contestant[]): Promise<void> {
  const outcome = await alternate(contestants, { wanted: 5, limitMs: 15_000 });
  process.stdout.write(`\n${title}, ${MIB} MiB; ${quietness(outcome)}\n`);
  for (const { name } of contestants) {
    const { median } = absolute(outcome, name, "wall");
    const faster = name.startsWith("cloister")
      ? [name.replace("cloister", "library").replace(", read twice", ""), "library, 4 KiB"].map((other) => {
          const { low, median: middle, high } = ratio(outcome, other, name, "wall");
          return `${middle.toFixed(2)} × ${other} (${low.toFixed(2)}–${high.toFixed(2)})`;
        })
      : [];
    const rate = ((1e6 / median) * 1.048576).toFixed(0);
    process.stdout.write(`  ${name.padEnd(32)} ${rate.padStart(6)} MB/s  ${faster.join(", ")}\n`);
  }
}

/** Microseconds of each hit, both managers in turn. */
async function hits(): Promise<void> {
  const ours = createMaterialsCache({ maxAgeMs: 3_600_000, capacity: 100, partition: "bench" }).managerFor(access);
  const theirs = new NodeCachingMaterialsManager({
    ...{ backingMaterials: keyring, maxAge: 3_600_000, partition: "bench" },
    cache: getLocalCryptographicMaterialsCache(100),
  });
  const request = {
    ...{
      suite: new NodeAlgorithmSuite(SUITES.signed),
      encryptionContext: context,
      plaintextLength: 1,
      commitmentPolicy,
    },
  };
  const { encryptedDataKeys, encryptionContext } = await ours.getEncryptionMaterials(request);
  const opening = { suite: request.suite, encryptionContext, encryptedDataKeys };
  for (const [name, act] of [
    ["seal", (manager: NodeMaterialsManager) => manager.getEncryptionMaterials(request)],
    ["open", (manager: NodeMaterialsManager) => manager.decryptMaterials(opening)],
  ] as const) {
    const times = { cloister: [] as number[], library: [] as number[] };
    for (let round = 0; round < 6000; round++)
      for (const [who, manager] of [
        ["cloister", ours],
        ["library", theirs],
      ] as const) {
        const start = performance.now();
        await act(manager);
        if (round >= 1000) times[who].push((performance.now() - start) * 1000);
      }
    for (const [who, values] of Object.entries(times)) {
      values.sort((a, b) => a - b);
      const at = (share: number): string => (values[Math.floor(share * values.length)] ?? Number.NaN).toFixed(0);
      process.stdout.write(
        `  ${`${name}, ${who}`.padEnd(32)} p50 ${at(0.5).padStart(4)} µs, p99 ${at(0.99).padStart(4)} µs\n`,
      );
    }
  }
}

process.stdout.write(`${machine()}\n`);
process.stdout.write("\nhit of the cache of data keys, suite 0x0578\n");
await hits();
const plaintext = new Uint8Array(MIB << 20).fill(7);
for (const suite of ["unsigned", "signed"] as const) {
  await compare(`seal, ${suite}`, sealers(plaintext, suite));
  await compare(`open, ${suite}`, await openers(plaintext, suite));
}
process.exit(0); // the library's cache keeps a timer
