/** What the launcher's tests share: an image, the fakes, and folders that are gone afterwards. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";
import { readImageFacts } from "../../cli/commands/enclave-image.ts";
import { buildAppImage } from "../../image/app.ts";
import { buildEif, writeCpio } from "../../image/index.ts";
import { createEmulatedLauncher, type EmulatedLaunch } from "../../mock/launcher/emulated.ts";
import { createMockLauncher } from "../../mock/launcher/mock.ts";
import type { EmulatedGuests, ProcessSpec } from "../../mock/launcher/process-spec.ts";
import { createNitroLauncher } from "../../parent/launcher/nitro.ts";
import { utf8 } from "../../shared/bytes.ts";
import type { ImageFacts, Launcher, LaunchOptions } from "../../shared/launcher.ts";
import { content } from "../eif/craft.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Of few characters: a socket's path has 107 bytes. */
export async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "la-"));
  cleanups.push(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
export const FAKE_GUEST = here("./fake-guest.mjs");

/** A compiled module: the keepers are processes, and Node runs no TypeScript. */
function built(name: string): URL {
  const url = new URL(`../../dist/mock/launcher/${name}.js`, import.meta.url);
  if (!existsSync(url)) throw new Error("dist/ is missing: run `npm run build`, or `make test`, which does");
  return url;
}

export interface TestImage {
  readonly eifPath: string;
  readonly image: ImageFacts;
}

/** An image for mock mode that prints `inside`, or another program. */
export async function mockImage(folder: string, main = STAYS): Promise<TestImage> {
  const eifPath = join(folder, "mock.eif");
  const { eif } = await buildAppImage({ files: new Map([["main.mjs", utf8(main)]]), platform: "mock" });
  await writeFile(eifPath, eif);
  return { eifPath, image: await readImageFacts(eifPath) };
}

const STAYS = 'console.log("inside"); setInterval(() => {}, 1000);';

/** An image of another builder, which says nothing of a platform. */
export async function plainImage(folder: string, cmdline = "reboot=k panic=30"): Promise<TestImage> {
  const eifPath = join(folder, "plain.eif");
  const ramdisk = writeCpio(new Map([["init", utf8("init")]]));
  const { metadata: _, ...rest } = content;
  await writeFile(eifPath, buildEif({ ...rest, cmdline, ramdisks: [ramdisk] }));
  return { eifPath, image: await readImageFacts(eifPath) };
}

export function launch(image: TestImage, changes: Partial<LaunchOptions> = {}): LaunchOptions {
  return { ...image, cpuCount: 2, memoryMiB: 64, debug: false, ...changes };
}

async function ending(launcher: Launcher): Promise<void> {
  for (const { enclaveId } of await launcher.list()) await launcher.terminate(enclaveId).catch(() => undefined);
}

export async function mockLauncher(stateFolder?: string): Promise<Launcher> {
  const folder = stateFolder ?? join(await scratch(), "s");
  const launcher = createMockLauncher({ stateFolder: folder, keeper: built("mock-keeper") });
  cleanups.push(() => ending(launcher));
  return launcher;
}

export const guest = (name: string, ...args: readonly string[]): ProcessSpec => {
  return { name, file: process.execPath, args: [FAKE_GUEST, ...args] };
};

/** The vsock process and the enclave, whose first boots hang. */
export function fakeGuests({ folder }: EmulatedLaunch, { hangs = 0, withinMs = 5_000 } = {}): EmulatedGuests {
  const path = join(folder, "16.dev");
  return {
    enclave: "enclave",
    peer: { kind: "hybrid", path: join(folder, "16.vsock") },
    attestationRoot: "AA==",
    processes: [
      { ...guest("vsock", "listen", path), ready: [{ kind: "file", path, withinMs: 5_000 }] },
      {
        ...guest("enclave", "boot", folder, String(hangs)),
        ready: [{ kind: "console", text: "Linux version ", withinMs }],
      },
    ],
  };
}

export async function emulatedLauncher(
  commands: (launch: EmulatedLaunch) => EmulatedGuests = fakeGuests,
  stateFolder?: string,
): Promise<Launcher> {
  const folder = stateFolder ?? join(await scratch(), "s");
  const launcher = createEmulatedLauncher({ stateFolder: folder, commands, keeper: built("emulated-keeper") });
  cleanups.push(() => ending(launcher));
  return launcher;
}

export interface FakeNitro {
  readonly launcher: Launcher;
  readonly folder: string;
  /** How the next commands misbehave. */
  readonly behave: (how: object) => Promise<void>;
  /** The argument lists of the commands so far. */
  readonly calls: () => Promise<readonly (readonly string[])[]>;
}

export async function nitroLauncher(options: { readonly timeoutMs?: number } = {}): Promise<FakeNitro> {
  const folder = await scratch();
  await mkdir(join(folder, "nitro"));
  const state = join(folder, "nitro");
  const PATH = [dirname(process.execPath), process.env["PATH"]].join(delimiter);
  const env = { PATH, FAKE_NITRO_FOLDER: state };
  return {
    launcher: createNitroLauncher({ file: here("./fake-nitro-cli.mjs"), env, ...options }),
    folder: state,
    behave: (how) => writeFile(join(state, "behave.json"), JSON.stringify(how)),
    async calls() {
      const text = await readFile(join(state, "calls"), "utf8");
      return text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as string[]);
    },
  };
}

/** All that a console says. */
export async function read(console: AsyncIterable<Uint8Array>, until?: string): Promise<string> {
  let text = "";
  for await (const bytes of console) {
    text += Buffer.from(bytes).toString();
    if (until !== undefined && text.includes(until)) break;
  }
  return text;
}

export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") X ");
  return !/\) [ZX] /.test(stat);
}
