/**
 * A whole enclave between its parent, KMS and a client, with canaries in the data, in the data key and in the credentials: what
 * the parent captured and told, and what can be printed of the parts while they work.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { attestedFetch } from "../../client/attested-fetch.ts";
import type { EnclaveEnv } from "../../enclave/app/env.ts";
import { startIngress } from "../../parent/ingress/ingress.ts";
import { openCapture } from "../../parent/observability/capture.ts";
import { createMetrics } from "../../parent/observability/metrics.ts";
import type { ParentEvent } from "../../parent/observability/observe.ts";
import { seal } from "../../shared/envelope/sealed.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { cleanup, measurements, transport } from "../enclave/app/world.ts";
import { type Cloud, makePlace, session, startCloud } from "../enclave/exec/world.ts";
import { scratchFolder } from "../transport/streams.ts";
import { Hunt, plant, plantBytes } from "./hunt.ts";

const [plaintext, question, beacon] = [plant("plaintext"), plant("question"), plant("beacon")];
const secretKey = plantBytes("SigV4 secret", Buffer.from(session.secretAccessKey.slice(0, 32)));
const token = plantBytes("session token", Buffer.from(session.sessionToken.slice(0, 32)));
const folder = scratchFolder();
let cloud: Cloud;
beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(() => cloud.close());
afterEach(() => void vi.restoreAllMocks());

/** A client's door to the enclave, and all that its parent keeps of what happens there. */
async function openDoor(address: ReturnType<typeof addressOf>) {
  const path = join(folder, "capture");
  const capture = openCapture(path);
  const metrics = await createMetrics();
  const events: ParentEvent[] = [];
  const log = (event: ParentEvent): void => {
    events.push(event);
    metrics.log(event);
  };
  const listen = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const door = await startIngress({ transport, listen, targets: [address], log, tap: capture.tap });
  cleanup(() => door.close());
  cleanup(() => capture[Symbol.dispose]());
  const { port } = door.address as { port: number };
  return { path, metrics, events, door, url: `https://127.0.0.1:${port}/${question.text}` };
}

/** The data key of the message as KMS gave it to who sealed it. */
async function sealed(context: Readonly<Record<string, string>>) {
  const given: Uint8Array[] = [];
  const kms = {
    encrypt: (input: never) => cloud.kms.encrypt(input),
    decrypt: (input: never) => cloud.kms.decrypt(input),
    async generateDataKey(input: never) {
      const answer = await cloud.kms.generateDataKey(input);
      given.push(Uint8Array.from(answer.Plaintext ?? []));
      return answer;
    },
  };
  const message = await seal(plaintext.bytes, { kms: kms as never, keyArn: cloud.keyArn, context });
  return { message, dataKey: plantBytes("data key", given[0] ?? new Uint8Array()) };
}

test("G06 G07 G08 G10: data that is opened inside, and data that is not: capture, log, events, metrics, objects", async () => {
  const context = { dataset: beacon.text };
  const { message, dataKey } = await sealed(context);
  const { world } = await makePlace(cloud);
  const hunt = new Hunt(plaintext, dataKey, question, secretKey, token);
  // Credentials are the parent's own; what it captures of them is searched for the rest alone.
  const crossed = new Hunt(plaintext, dataKey, question);
  let env: EnclaveEnv | undefined;
  const enclave = await world.launch({
    tls: "attested",
    start: (given) => void (env = given as EnclaveEnv),
    async fetch(request, { open, log }) {
      log.write("info", "asked", { beacon: beacon.text });
      const isOther = (await request.text()) === "other";
      const dataset = isOther ? "y" : beacon.text;
      return new Response(
        Uint8Array.from(await open(message, { keyArn: cloud.keyArn, context: { dataset }, dataset })),
      );
    },
  });
  const { path, metrics, events, door, url } = await openDoor(addressOf(world.platform.self, APP_PORT));
  const images = [{ 0: measurements.pcr0, 1: measurements.pcr1, 2: measurements.pcr2 }] as const;
  const [root, ...others] = world.platform.attestationRoots;
  const policy = { kind: "nsm" as const, roots: [root, ...others] as never, images, maxAgeMs: 60_000 };
  const ask = (body: string) =>
    attestedFetch(url, { policy, method: "POST", body, headers: { "x-secret": question.text } });

  expect(await (await ask("this")).text()).toBe(plaintext.text);
  const refused = await ask("other");
  expect(refused.status).toBe(422);
  hunt.note("answers", [await refused.text(), beacon.text]);
  const other = { keyArn: cloud.keyArn.replace(/key\/.*/, "key/00000000-0000-4000-8000-000000000000"), context };
  const denied = await hunt.noteOutcome("refusals", env?.open(message, { ...other, dataset: "x" }) ?? Promise.reject());
  expect((denied as { code?: string }).code).toMatch(/^ERR_(KMS|DATA)_/);
  hunt.noteReport(denied as Error);
  hunt.note("refusals", beacon.text);
  hunt.note("objects", [
    env,
    enclave,
    inspect(enclave.doctor),
    world.platform.nsm,
    door,
    await env?.credentials(),
    beacon.text,
  ]);
  await enclave.stop();
  hunt.note("log", world.lines);
  hunt.note("events", [events, await metrics.text(), beacon.text]);
  expect(await metrics.text()).toContain("ingress");
  crossed.noteBytes("capture", Buffer.concat([readFileSync(path), beacon.bytes]));
  crossed.noteBytes("services", Buffer.concat(world.crossed));
  expect(readFileSync(path).length).toBeGreaterThan(4_000);
  crossed.end({ capture: beacon, services: beacon });
  hunt.end({ answers: beacon, refusals: beacon, objects: beacon, log: beacon, events: beacon });
});
