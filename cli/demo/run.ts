/**
 * The main job, end to end: two owners' sensitive data, joined by code that both have measured, and by nothing else.
 *
 *   build and measure → gate the keys → seal → attest and release → compute → prove → attack → search what leaked
 *
 * @module
 */
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { createEnclaveClient, type EnclaveClient } from "../../client/enclave.ts";
import type { EnclavePolicy } from "../../client/result.ts";
import { type OwnersData, prepareOwnersData } from "../../examples/joint-analysis/data.ts";
import { QUERY_NAMES, type QueryResult, runQuery } from "../../examples/joint-analysis/queries.ts";
import { readFlights, readStrikes } from "../../examples/joint-analysis/tables.ts";
import { dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { attackTheClient, attackTheTls, attackWithEvilKms, attackWithOtherImages } from "./attacks.ts";
import { attackKmsDirectly } from "./attacks-on-kms.ts";
import { searchCapture } from "./capture.ts";
import { CARRIER, INSURER, OWNERS } from "./cast.ts";
import { createKey, gateKey, type SealedData, sealTable } from "./owners.ts";
import type { Scene } from "./scene.ts";
import type { Story } from "./story.ts";
import { type BuiltImage, World } from "./world.ts";

const APP_BUNDLE = new URL("../../examples/joint-analysis/enclave.bundle.mjs", import.meta.url);
const EXFILTRATE_BUNDLE = new URL("./exfiltrate.bundle.mjs", import.meta.url);

export interface DemoOptions {
  /** The owners' tables as CSV; the real data sets where left out. */
  readonly data: Partial<OwnersData>;
  /** Told of what must be cleaned up if the story is interrupted. */
  readonly onWorld: (world: AsyncDisposable) => void;
}

/** Plays the story. Each step that does not hold is recorded in `story`; one that the rest needs throws. */
export async function runDemo(story: Story, options: DemoOptions): Promise<void> {
  story.chapter("1  Three processes that do not trust each other, and an image");
  await using world = await story.step(
    "start the emulated AWS, the mock hypervisor and the parent",
    () => World.start(),
    () =>
      "each with keys and roots of its own, made for this run; the image holds the roots, so its PCRs differ each time",
  );
  options.onWorld(world);
  const keyArns = await createKeys(story, world);
  const image = await buildImage(story, world, keyArns);
  await gate(story, world, { keyArns, image });
  const { tables, sealed } = await prepareAndSeal(story, world, { keyArns, data: options.data });
  const scene = await compute(story, world, { keyArns, image, sealed, tables });
  await attack(scene, image, keyArns);
  await searchCapture(scene, sealed);
}

type PerDataset<Value> = Readonly<Record<"flights" | "strikes", Value>>;

async function perOwner<Value>(make: (owner: (typeof OWNERS)[number]) => Promise<Value>): Promise<PerDataset<Value>> {
  const [flights, strikes] = await Promise.all([make(CARRIER), make(INSURER)]);
  return { flights, strikes };
}

function createKeys(story: Story, world: World): Promise<PerDataset<string>> {
  return story.step(
    "each owner makes a KMS key in its own account, which opens nothing yet",
    () => perOwner((owner) => createKey(world, owner)),
    ({ flights, strikes }) => `${flights} · ${strikes}`,
  );
}

function appConfig(keyArns: PerDataset<string>): object {
  const dataset = ({ dataset, context }: (typeof OWNERS)[number]): object => ({ keyArn: keyArns[dataset], context });
  return { datasets: { flights: dataset(CARRIER), strikes: dataset(INSURER) } };
}

async function buildImage(story: Story, world: World, keyArns: PerDataset<string>): Promise<BuiltImage> {
  const build = (): Promise<BuiltImage> => world.build("joint-analysis", APP_BUNDLE, appConfig(keyArns));
  const image = await story.step("build the enclave image and measure it", build, ({ registers }) => {
    return `PCR0 ${registers.pcr0} PCR1 ${registers.pcr1} PCR2 ${registers.pcr2}`;
  });
  await story.step(
    "build it again",
    async () => {
      const again = await build();
      if (JSON.stringify(again.registers) !== JSON.stringify(image.registers))
        throw new Error("the build is not deterministic");
    },
    () => "the same PCRs",
  );
  return image;
}

interface GateOptions {
  readonly keyArns: PerDataset<string>;
  readonly image: BuiltImage;
}

async function gate(story: Story, world: World, { keyArns, image }: GateOptions): Promise<void> {
  story.chapter("2  The owners pin their keys to the image and seal their data");
  await story.step(
    "each owner measures the image file itself, and lets its key go to PCR0, PCR1 and PCR2 of it only",
    () => perOwner((owner) => gateKey(world, owner, keyArns[owner.dataset], image.path)),
    () => "key policies: allow on match, deny otherwise",
  );
}

interface SealStepOptions {
  readonly keyArns: PerDataset<string>;
  readonly data: Partial<OwnersData>;
}

async function prepareAndSeal(
  story: Story,
  world: World,
  { keyArns, data }: SealStepOptions,
): Promise<{ tables: OwnersData; sealed: PerDataset<SealedData> }> {
  const tables = await story.step(
    `read ${data.flights ? "the given flights" : "US flights (BTS)"} and ${data.strikes ? "the given strikes" : "US wildlife strikes (FAA)"}`,
    async (): Promise<OwnersData> => {
      const { flights, strikes } = data;
      return flights && strikes ? { flights, strikes } : { ...(await prepareOwnersData()), ...data };
    },
    ({ flights, strikes }) => `${flights.length + strikes.length} bytes; published tables: npm vega-datasets 3.2.1`,
  );
  const sealed = await story.step(
    "each owner seals its data with the AWS Encryption SDK",
    () => perOwner((owner) => sealTable(world, owner, keyArns[owner.dataset], tables[owner.dataset])),
    ({ flights, strikes }) =>
      `${flights.rows} flights and ${strikes.rows} strikes, ${flights.message.length + strikes.message.length} bytes sealed`,
  );
  return { tables, sealed };
}

interface ComputeOptions {
  readonly keyArns: PerDataset<string>;
  readonly image: BuiltImage;
  readonly sealed: PerDataset<SealedData>;
  readonly tables: OwnersData;
}

async function compute(story: Story, world: World, { keyArns, image, sealed, tables }: ComputeOptions): Promise<Scene> {
  story.chapter("3  The enclave attests, opens, joins and answers");
  const { pcr0, pcr1, pcr2 } = image.registers;
  const policy: EnclavePolicy = {
    kind: "nsm",
    roots: [dangerouslyTrustRoot(world.hypervisor.rootCertificate)],
    images: [{ 0: pcr0, 1: pcr1, 2: pcr2 }],
    maxAgeMs: 300_000,
  };
  const enclave = await story.step(
    "the mock hypervisor measures the image file and runs the app that is in it",
    () => world.run(image.path),
    ({ enclaveId }) => enclaveId,
  );
  const client = createEnclaveClient({ address: world.ingress });
  for (const { dataset, title } of OWNERS) {
    await story.step(
      `${title}'s data goes in through the parent; KMS releases its key to the attested enclave`,
      () => client.load(dataset, sealed[dataset].message),
      () => "CiphertextForRecipient, opened inside",
    );
  }
  const asked = await client.ask(`/queries/${QUERY_NAMES[0]}`);
  const inputs = { flights: sha384(sealed.flights.message), strikes: sha384(sealed.strikes.message) };
  await askEach(story, client, { policy, tables, inputs });
  const accepted = { ...asked, policy, sealed: sealed.flights.message, keyArn: keyArns.flights };
  return { world, story, enclave, eifPath: image.path, ...accepted };
}

interface AskOptions {
  readonly policy: EnclavePolicy;
  readonly tables: OwnersData;
  /** SHA-384 of the messages that the owners sealed. */
  readonly inputs: PerDataset<string>;
}

function sha384(bytes: Uint8Array): string {
  return createHash("sha384").update(bytes).digest("hex");
}

async function askEach(story: Story, client: EnclaveClient, { policy, tables, inputs }: AskOptions): Promise<void> {
  for (const query of QUERY_NAMES) {
    await story.step(
      `ask ${query}; verify document, nonce, question, signature and inputs`,
      async () => {
        const { result } = await client.askVerified(`/queries/${query}`, policy);
        const answer = JSON.parse(result) as QueryResult & { readonly inputs: unknown };
        if (!isDeepStrictEqual(answer.inputs, inputs)) throw new Error("the answer was computed from other data");
        if (!isDeepStrictEqual(answer.groups, queryInTheClear(query, tables).groups)) {
          throw new Error("the answer differs from the same query over the tables in the clear");
        }
        return answer;
      },
      ({ groups, groupsWithheld, minimumGroupRows }) =>
        `${groups.length} groups, ${groupsWithheld} withheld (under ${minimumGroupRows} rows); first: ${JSON.stringify(groups[0])}`,
    );
  }
}

async function attack(scene: Scene, image: BuiltImage, keyArns: PerDataset<string>): Promise<void> {
  const { story, world } = scene;
  story.chapter("4  Attacks, each of which must be refused for the right reason");
  const tampered = await story.step(
    "build the image with one byte changed: groups of 15 rows instead of 25",
    async () => {
      const built = await world.build("tampered", APP_BUNDLE, appConfig(keyArns), changeOneByte);
      if (built.registers.pcr0 === image.registers.pcr0) throw new Error("PCR0 did not change");
      return built;
    },
    ({ registers }) => `PCR0 ${registers.pcr0} PCR1 unchanged PCR2 ${registers.pcr2}`,
  );
  const exfiltrating = await world.build("exfiltrate", EXFILTRATE_BUNDLE, {});
  const bait = { ...appConfig({ flights: world.impostor.keyArn, strikes: world.impostor.keyArn }) };
  const impostor = await world.build("impostor", APP_BUNDLE, bait);
  await attackKmsDirectly(scene);
  await attackWithOtherImages(scene, { tampered: tampered.path, exfiltrating: exfiltrating.path });
  await attackWithEvilKms(scene);
  await attackTheTls(scene, { path: impostor.path, message: world.impostor.message });
  await attackTheClient(scene);
}

function changeOneByte(app: Uint8Array): Uint8Array {
  const changed = Buffer.from(app);
  const at = changed.indexOf("MINIMUM_GROUP_ROWS = 25");
  if (at < 0) throw new TypeError("the app has a threshold of 25");
  changed.write("1", at + "MINIMUM_GROUP_ROWS = ".length);
  return new Uint8Array(changed);
}

/** The same query over the owners' tables in the clear, to compare an enclave's answer with. */
function queryInTheClear(query: string, { flights, strikes }: OwnersData): QueryResult {
  return runQuery(query, { flights: readFlights(flights), strikes: readStrikes(strikes) });
}
