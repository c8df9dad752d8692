/**
 * Runs an example: the emulated AWS, its servers, the image behind its parent, then the story; and ends it all.
 *
 *   client ─▶ wiretap ─▶ parent ─▶ enclave ─▶ parent ─▶ wiretap ─▶ emulated AWS
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Story } from "../../cli/demo/story.ts";
import { createAttestedAgent } from "../../client/attested-agent.ts";
import { attestedFetch } from "../../client/attested-fetch.ts";
import { createMockRoot } from "../../mock/nsm/pki.ts";
import { rootToJson } from "../../mock/nsm/root-file.ts";
import { attestationPolicyFromJson } from "../../shared/attestation/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { configurationPcr } from "../../shared/configuration/document.ts";
import type { Platform } from "../../shared/launcher.ts";
import type { EnclavePolicy } from "../../shared/session/bound-document.ts";
import { bundleApp } from "./bundle.ts";
import { Cloud, REGION } from "./cloud.ts";
import type { Example, Servers, Stage } from "./example.ts";
import { accepted, named, searched } from "./outcomes.ts";
import { Parent } from "./parent.ts";
import type { Registers } from "./release-policy.ts";
import { Wiretap } from "./wiretap.ts";

export interface RunOptions {
  /** The example's `app.ts`. */
  readonly entry: string;
  readonly platform: Exclude<Platform, "nitro">;
  readonly story: Story;
}

/** A first handshake in an emulated processor takes its time. */
const HANDSHAKE_MS = 60_000;

/** Everything that runs; ends in the other order than it was started. */
export class Running implements AsyncDisposable {
  readonly #started: (() => Promise<unknown>)[] = [];
  #starting: Promise<Stage> | undefined;
  #ending: Promise<void> | undefined;
  #folder: string | undefined;

  /** Once. What is ended meanwhile is not started. */
  start(example: Example, options: RunOptions): Promise<Stage> {
    this.#starting = this.#start(example, options);
    return this.#starting;
  }

  async #start(example: Example, { entry, platform, story }: RunOptions): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), "ex-"));
    this.#folder = folder;
    const root = await createMockRoot((length) => new Uint8Array(randomBytes(length)));
    await writeFile(join(folder, "root.json"), JSON.stringify(rootToJson(root)), { mode: 0o600 });
    const cloud = this.#keep(await Cloud.start(root.certificate));
    const servers = example.servers && this.#keep(await example.servers());
    await buildFolder(join(folder, "app"), entry, servers);

    const keyArn = example.enclaveMay ? await cloud.createKey() : "";
    const chosen = example.configuration?.({ keyArn, region: REGION });
    const configuration = chosen && new Uint8Array(Buffer.from(JSON.stringify(chosen)));
    const taps: Wiretap[] = [];
    const tapped = async (port: number): Promise<number> => {
      const tap = this.#keep(await Wiretap.before(port));
      taps.push(tap);
      return tap.port;
    };
    const ports = { [`kms.${REGION}.amazonaws.com:443`]: cloud.port, ...servers?.hosts };
    const hosts: Record<string, string> = {};
    for (const [target, port] of Object.entries(ports)) hosts[target] = `127.0.0.1:${await tapped(port)}`;
    const parent = this.#keep(
      await Parent.start({
        ...{ folder, platform, credentials: cloud.credentialsFile },
        hosts,
        tlsRoots: [cloud.tlsRoot, ...(servers ? [servers.tlsRoot] : [])],
        ...(configuration && { configuration }),
      }),
    );
    await parent.up();
    const port = await tapped(parent.ingressPort);

    const { policy, registers } = await demand(parent, configuration);
    const gate = (allowed: Registers): Promise<void> => cloud.gate(keyArn, allowed, example.enclaveMay ?? []);
    if (example.enclaveMay) await gate(registers);
    return {
      ...{ story, policy, registers, keyArn, gate },
      kms: (role) => cloud.kms(role),
      ask: this.#asking(`https://127.0.0.1:${port}`, policy),
      refused: (title, code, attempt) => story.attack(title, code, () => named(attempt)),
      unseen: async (title, secrets) => {
        const saw = (bytes: Buffer): boolean =>
          taps.some((tap) => tap.heard(bytes)) || Buffer.from(parent.log).includes(bytes);
        await story.step(title, async () => searched(saw, secrets), String);
      },
    };
  }

  #asking(url: string, demanded: EnclavePolicy): Stage["ask"] {
    const agents = new Map<EnclavePolicy, ReturnType<typeof createAttestedAgent>>();
    this.#started.push(async () => {
      for (const agent of agents.values()) agent.destroy();
    });
    return async (path, { policy = demanded, ...init } = {}) => {
      const agent = agents.get(policy) ?? createAttestedAgent(policy, { timeoutMs: HANDSHAKE_MS });
      agents.set(policy, agent);
      return accepted(await attestedFetch(`${url}${path}`, { ...init, agent }));
    };
  }

  #keep<Part extends AsyncDisposable>(part: Part): Part {
    this.#started.push(async () => part[Symbol.asyncDispose]());
    if (this.#ending !== undefined) throw new Error("told to stop");
    return part;
  }

  /** A second call waits for the first. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ending ??= this.#endAll();
    return this.#ending;
  }

  async #endAll(): Promise<void> {
    await this.#end();
    // What was being started has been kept by then.
    await this.#starting?.catch(() => {});
    await this.#end();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true, maxRetries: 10 });
  }

  async #end(): Promise<void> {
    for (let end = this.#started.pop(); end; end = this.#started.pop()) await end();
  }
}

async function buildFolder(folder: string, entry: string, servers: Servers | undefined): Promise<void> {
  await mkdir(folder);
  await bundleApp(entry, join(folder, "app.mjs"));
  for (const [name, text] of Object.entries(servers?.files ?? {})) await writeFile(join(folder, name), text);
}

/** The policy that the build wrote, and the configuration's register. */
async function demand(
  parent: Parent,
  configuration: Uint8Array | undefined,
): Promise<{ readonly policy: EnclavePolicy; readonly registers: Registers }> {
  const json = await parent.policy();
  const pinned = configuration && { 16: toHex(await configurationPcr(configuration)) };
  const registers = { ...json.images[0], ...pinned };
  const { kind, roots, maxAgeMs } = attestationPolicyFromJson(json);
  return { policy: { kind, roots, maxAgeMs, images: [registers] }, registers };
}
