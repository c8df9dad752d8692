/**
 * Reads a container image from an archive, without Docker: what `docker save` writes, or an OCI image layout as tar.
 *
 *   1. archive   a tar, perhaps gzip; its files by name
 *   2. image     manifest.json (docker save) or index.json (OCI): one image for the architecture, its config, its layers;
 *                where both are there, both name the same config
 *   3. digests   the config is what its name says, each layer what the config says (`diff_ids`); an OCI blob has the
 *                digest and size that name it
 *   4. layers    laid over each other in order
 *
 * What is compressed is unpacked up to a limit and no further.
 *
 * Source: OCI image specification 1.1 (image-layout.md, manifest.md, config.md); Docker image specification 1.3.
 *
 * @module
 */
import { printable } from "../shared/eif/cpio-format.ts";
import type { Architecture } from "../shared/eif/layout.ts";
import { EifError } from "../shared/errors/eif.ts";
import { type ContainerConfig, execOf } from "./container-config.ts";
import { gunzipBounded } from "./gunzip.ts";
import { sha256 } from "./inputs.ts";
import { LayeredTree } from "./layers.ts";
import { isRecord, parseRecord, parseSmallJson } from "./lock.ts";
import type { Application } from "./source.ts";
import { readTar } from "./tar.ts";

const UNPACKED_MAX = 2 ** 31 - 1;
const LAYERS_MAX = 128;
const ARCHITECTURES: Readonly<Record<Architecture, string>> = { x86_64: "amd64", arm64: "arm64" };

type Files = ReadonlyMap<string, Uint8Array>;

export interface ContainerOptions {
  readonly architecture: Architecture;
  /** Of the archive, and of all layers together, in bytes once unpacked. Default 2 GiB. */
  readonly maxBytes?: number;
}

/** An image's parts as they are in the archive. */
interface Located {
  readonly config: Uint8Array;
  readonly layers: readonly Uint8Array[];
}

/**
 * @throws {EifError} `ERR_EIF_SOURCE` the archive or a layer, `ERR_EIF_INPUT` what they describe
 */
export async function readContainer(
  archive: Uint8Array,
  { architecture, maxBytes = UNPACKED_MAX }: ContainerOptions,
): Promise<Application> {
  const files = filesOf(await unpacked(archive, { label: "the archive", maxBytes }));
  const { config, layers } = locate(files, architecture);
  const { rootfs, config: run, architecture: built } = parseRecord(config, "image config");
  if (built !== ARCHITECTURES[architecture]) throw refused("the image", `is for ${ARCHITECTURES[architecture]}`);
  const digests = isRecord(rootfs) && rootfs["type"] === "layers" ? texts(rootfs["diff_ids"], "diff_ids") : [];
  if (digests.length !== layers.length || digests.length === 0 || digests.length > LAYERS_MAX) {
    throw refused("the image", `its config names each of its layers, ${LAYERS_MAX} at most`);
  }
  const tree = new LayeredTree(maxBytes);
  let total = 0;
  for (const [index, packed] of layers.entries()) {
    const layer = await unpacked(packed, { label: `layer ${index}`, maxBytes: maxBytes - total });
    checkDigest(layer, { digest: digests[index] ?? "", label: `layer ${index}` });
    total += layer.length;
    if (total > maxBytes) throw refused("the image", `its layers have at most ${maxBytes} bytes together`);
    tree.lay(layer);
  }
  return { root: tree.toTree(), exec: execOf(isRecord(run) ? (run as ContainerConfig) : {}, tree) };
}

function filesOf(archive: Uint8Array): Files {
  const files = new Map<string, Uint8Array>();
  for (const { kind, path, data } of readTar(archive)) {
    if (kind === "directory") continue;
    if (kind !== "file")
      throw new EifError("ERR_EIF_SOURCE", { entry: printable(path), rule: "an image archive holds files" });
    if (files.has(path)) throw new EifError("ERR_EIF_SOURCE", { entry: printable(path), rule: "comes twice" });
    files.set(path, data);
  }
  return files;
}

/** gzip or nothing. */
async function unpacked(
  bytes: Uint8Array,
  { label, maxBytes }: { readonly label: string; readonly maxBytes: number },
): Promise<Uint8Array> {
  if (bytes[0] === 0x28 && bytes[1] === 0xb5) throw refused(label, "is compressed with gzip or not at all");
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await gunzipBounded(bytes, maxBytes);
  } catch (cause) {
    throw new EifError("ERR_EIF_INPUT", { input: label, rule: "is whole gzip of bounded size" }, { cause });
  }
}

function locate(files: Files, architecture: Architecture): Located {
  if (!files.has("manifest.json")) return locateLayout(files, architecture);
  const located = locateSaved(files);
  if (files.has("index.json")) {
    const expected = sha256(located.config);
    const actual = sha256(locateLayout(files, architecture).config);
    if (actual !== expected) {
      throw new EifError("ERR_EIF_INPUT_DRIFT", { input: "index.json's image config", expected, actual });
    }
  }
  return located;
}

/** `[{"Config": path, "Layers": [path…]}]`. */
function locateSaved(files: Files): Located {
  const list = parseSmallJson(file(files, "manifest.json"), "manifest.json");
  const [only, ...more]: readonly unknown[] = Array.isArray(list) ? list : [];
  if (!isRecord(only) || more.length > 0) throw refused("manifest.json", "describes one image");
  const name = text(only["Config"], "Config");
  const config = file(files, name);
  const digest = /([0-9a-f]{64})(\.json)?$/.exec(name)?.[1];
  checkDigest(config, { digest: `sha256:${digest ?? ""}`, label: "image config" });
  return { config, layers: texts(only["Layers"], "Layers").map((path) => file(files, path)) };
}

function locateLayout(files: Files, architecture: Architecture): Located {
  const manifest = parseRecord(blobOf(files, pick(files, architecture)), "manifest");
  const layers = manifest["layers"];
  if (!Array.isArray(layers)) throw refused("manifest", "has layers");
  return {
    config: blobOf(files, manifest["config"]),
    layers: layers.map((layer) => blobOf(files, layer)),
  };
}

/** The descriptor of the one manifest for the architecture; an index may lead to another, once. */
function pick(files: Files, architecture: Architecture): unknown {
  let index = parseRecord(file(files, "index.json"), "index.json");
  for (let depth = 0; depth < 2; depth++) {
    const manifests: readonly unknown[] = Array.isArray(index["manifests"]) ? index["manifests"] : [];
    const fitting = manifests.filter((each) => fits(each, architecture));
    const [only, ...more] = fitting;
    if (!isRecord(only) || more.length > 0) throw refused("index.json", `has one image for ${architecture}`);
    if (!String(only["mediaType"]).includes("index") && !String(only["mediaType"]).includes("list")) return only;
    index = parseRecord(blobOf(files, only), "index");
  }
  throw refused("index.json", "leads to a manifest");
}

/** One without a platform says nothing against it; the config decides in the end. */
function fits(descriptor: unknown, architecture: Architecture): boolean {
  if (!isRecord(descriptor)) return false;
  const { platform } = descriptor;
  if (!isRecord(platform)) return true;
  return platform["architecture"] === ARCHITECTURES[architecture] && platform["os"] === "linux";
}

/** The blob that a descriptor names, of that size and digest. */
function blobOf(files: Files, descriptor: unknown): Uint8Array {
  if (!isRecord(descriptor)) throw refused("a descriptor", "is an object");
  const digest = text(descriptor["digest"], "digest");
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw refused("a descriptor", "its digest is SHA-256");
  const label = `blob ${digest}`;
  const blob = file(files, `blobs/sha256/${digest.slice("sha256:".length)}`);
  if (descriptor["size"] !== blob.length) throw refused(label, "has the size that its descriptor says");
  checkDigest(blob, { digest, label });
  return blob;
}

function checkDigest(bytes: Uint8Array, { digest, label }: { digest: string; label: string }): void {
  const actual = `sha256:${sha256(bytes)}`;
  if (digest !== actual) throw new EifError("ERR_EIF_INPUT_DRIFT", { input: label, expected: digest, actual });
}

function file(files: Files, path: string): Uint8Array {
  const bytes = files.get(path);
  if (!bytes) throw refused("the archive", `has the file ${JSON.stringify(path.slice(0, 256))}`);
  return bytes;
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw refused("the image", `${name} is text`);
  return value;
}

function texts(value: unknown, name: string): readonly string[] {
  if (!Array.isArray(value)) throw refused("the image", `${name} is a list`);
  return value.map((each) => text(each, name));
}

function refused(input: string, rule: string): EifError {
  return new EifError("ERR_EIF_INPUT", { input, rule });
}
