/**
 * The demo's happy path where nothing but the cloud is software of ours: the kernel's vsock, `/dev/nsm`, an image that
 * boots, a parent at context id 3.
 */
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { CARRIER, INSTANCE_ID, INSURER } from "../../cli/demo/cast.ts";
import { createKey, gateKey, type SealedData, sealTable } from "../../cli/demo/owners.ts";
import { createEnclaveClient, type EnclaveClient } from "../../client/enclave.ts";
import type { EnclavePolicy } from "../../client/result.ts";
import { type OwnersData, prepareOwnersData } from "../../examples/joint-analysis/data.ts";
import { QUERY_NAMES, type QueryResult, runQuery } from "../../examples/joint-analysis/queries.ts";
import { readFlights, readStrikes } from "../../examples/joint-analysis/tables.ts";
import { deviceEntry } from "../../image/entry.ts";
import { measureEifFile } from "../../image/file.ts";
import type { Guest } from "../../mock/emulator/guest.ts";
import { dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { emulator, hasEmulator } from "./emulator.ts";
import { bundle, type EnclaveImage, enclaveImage, workFolder } from "./images.ts";
import { EmulatedWorld, ENCLAVE_CID } from "./world.ts";

const ROWS = Number(process.env["ROWS"] ?? 3_000);
const BOOT_MS = 240_000;

/** The first rows: software emulation is some ten times slower. */
function head(table: Uint8Array): Uint8Array {
  const lines = Buffer.from(table)
    .toString("utf8")
    .split("\n")
    .slice(0, ROWS + 1);
  return new Uint8Array(Buffer.from(`${lines.join("\n")}\n`));
}

describe.skipIf(!hasEmulator)("the happy path on an emulated instance (needs `make emulator`)", () => {
  const folder = hasEmulator ? workFolder() : "";
  let world: EmulatedWorld;
  let image: EnclaveImage;
  let tables: OwnersData;
  let sealed: Readonly<Record<"flights" | "strikes", SealedData>>;
  let client: EnclaveClient;
  let enclave: Guest;
  let policy: EnclavePolicy;

  beforeAll(async () => {
    world = await EmulatedWorld.start(folder);
    const keyArns = { flights: await createKey(world, CARRIER), strikes: await createKey(world, INSURER) };
    const datasets = {
      flights: { keyArn: keyArns.flights, context: CARRIER.context },
      strikes: { keyArn: keyArns.strikes, context: INSURER.context },
    };
    const attestationRoots = [world.instance.rootCertificate];
    const main = deviceEntry({ attestationRoots, tlsRoots: [world.tlsRoot], config: { datasets } });
    const app = await bundle("../../examples/joint-analysis/enclave.ts");
    const files = new Map([
      ["main.mjs", main],
      ["app.mjs", app],
    ]);
    image = await enclaveImage(emulator, { files }, `${folder}/demo.eif`);
    await gateKey(world, CARRIER, keyArns.flights, image.path);
    await gateKey(world, INSURER, keyArns.strikes, image.path);
    const { flights, strikes } = await prepareOwnersData();
    tables = { flights: head(flights), strikes: head(strikes) };
    sealed = {
      flights: await sealTable(world, CARRIER, keyArns.flights, tables.flights),
      strikes: await sealTable(world, INSURER, keyArns.strikes, tables.strikes),
    };
    const { pcr0, pcr1, pcr2 } = image.registers;
    policy = {
      kind: "nsm",
      roots: [dangerouslyTrustRoot(world.instance.rootCertificate)],
      images: [{ 0: pcr0, 1: pcr1, 2: pcr2 }],
      maxAgeMs: 300_000,
    };
    const { guest } = await world.instance.bootEnclave({ eifPath: image.path, cid: ENCLAVE_CID, memoryMiB: 1024 });
    enclave = guest;
    const isReady = async (): Promise<void> => {
      const said = JSON.stringify(await world.parent.call("logs"));
      if (!said.includes("ready")) throw new Error(`not ready: ${said}\n${guest.console.slice(-3_000)}`);
    };
    await vi.waitFor(isReady, { timeout: BOOT_MS, interval: 250 });
    client = createEnclaveClient({ address: world.ingress, timeoutMs: 120_000 });
  }, 2 * BOOT_MS);

  afterAll(async () => {
    if (world) process.stdout.write(`boots repeated: ${world.instance.retries}\n`);
    await world?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test("the file measures as its parts did", async () => {
    const { pcr0, pcr1, pcr2 } = await measureEifFile(image.path);
    expect({ pcr0: toHex(pcr0), pcr1: toHex(pcr1), pcr2: toHex(pcr2) }).toEqual(image.registers);
  });

  beforeEach(({ onTestFailed }) => {
    onTestFailed(async () => {
      process.stdout.write(
        `${JSON.stringify(await world.parent.call("logs"), null, 1)}\n${enclave.console.slice(-600)}\n`,
      );
      process.stdout.write(
        `${JSON.stringify(await world.parent.call("stats"), null, 1)}\n${world.parentGuest.console.slice(-3000)}\n`,
      );
    });
  });

  test.each(["flights", "strikes"] as const)(
    "%s go in, and KMS releases their key to the enclave",
    async (dataset) => {
      await client.load(dataset, sealed[dataset].message);
    },
    120_000,
  );

  test.each(QUERY_NAMES)(
    "%s: the answer is attested and the same as in the clear",
    async (query) => {
      const { result, attestation } = await client.askVerified(`/queries/${query}`, policy);
      const answer = JSON.parse(result) as QueryResult & { readonly inputs: unknown };
      const sha384 = (bytes: Uint8Array): string => createHash("sha384").update(bytes).digest("hex");
      expect(answer.inputs).toEqual({
        flights: sha384(sealed.flights.message),
        strikes: sha384(sealed.strikes.message),
      });
      const clear = runQuery(query, { flights: readFlights(tables.flights), strikes: readStrikes(tables.strikes) });
      expect(answer.groups).toEqual(clear.groups);
      expect(attestation.moduleId.startsWith(`${INSTANCE_ID}-enc`)).toBe(true);
    },
    120_000,
  );
});
