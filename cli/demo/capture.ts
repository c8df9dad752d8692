/**
 * What the parent saw, searched: first for what is known to be there, then for what must not be.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { utf8 } from "../../shared/bytes.ts";
import { type Canary, search } from "./canary.ts";
import { OPERATOR_ACCOUNT } from "./cast.ts";
import type { SealedData } from "./owners.ts";
import type { Scene } from "./scene.ts";

/** @param sealed what each owner sealed, with the secrets to look for */
export async function searchCapture(
  { world, story, nonce }: Scene,
  sealed: Readonly<Record<"flights" | "strikes", SealedData>>,
): Promise<void> {
  story.chapter("5  What the parent saw");
  const session = world.session(OPERATOR_ACCOUNT, "enclave-host");
  const beacons: readonly Canary[] = [
    { name: "the client's challenge", bytes: nonce },
    { name: "the parent's own access key id", bytes: utf8(session.accessKeyId) },
    { name: "the sealed data", bytes: sealed.flights.message.subarray(5_000, 5_064) },
  ];
  const canaries = [...sealed.flights.canaries, ...sealed.strikes.canaries];
  await world.parent.close();
  const capture = await readFile(world.captureFile);
  await story.step(
    "search every byte that crossed the parent for what is known to be there",
    async () => {
      const seen = new Set(search(capture, beacons).map(({ name }) => name));
      const missed = beacons.filter(({ name }) => !seen.has(name));
      if (missed.length > 0)
        throw new Error(`the search is blind: ${missed.map(({ name }) => name).join(", ")} not found`);
    },
    () => `${capture.length} bytes; found: ${beacons.map(({ name }) => name).join(", ")}`,
  );
  await story.step(
    "search it for the planted canaries: rows of both tables, both data keys, in 11 encodings",
    async () => {
      const sightings = search(capture, canaries);
      if (sightings.length > 0) {
        throw new Error(`the parent saw ${sightings.map(({ name, form }) => `${name} (${form})`).join(", ")}`);
      }
    },
    () => `none of ${canaries.length} found`,
  );
}
