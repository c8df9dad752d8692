/**
 * Crafts tar archives and container images, each field as asked.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { concat, utf8 } from "../../shared/bytes.ts";

export interface RawTar {
  readonly name: string;
  readonly type?: string;
  readonly data?: string | Uint8Array;
  readonly link?: string;
  readonly mode?: string;
  readonly uid?: string;
  readonly size?: string;
  readonly magic?: string;
  readonly prefix?: string;
  readonly checksum?: string;
}

export const END: Uint8Array = new Uint8Array(1024);

export function tarEntry({ name, type = "0", data = "", link = "", ...fields }: RawTar): Uint8Array {
  const { mode = "0000644", uid = "0000000", magic = "ustar\x0000", prefix = "" } = fields;
  const content = typeof data === "string" ? utf8(data) : data;
  const block = new Uint8Array(512);
  const put = (at: number, text: string) => block.set(Buffer.from(text, "latin1"), at);
  block.set(utf8(name), 0);
  put(100, mode);
  put(108, uid);
  put(116, "0000000");
  put(124, fields.size ?? content.length.toString(8).padStart(11, "0"));
  put(136, "00000000000");
  put(148, "        ");
  put(156, type);
  block.set(utf8(link), 157);
  put(257, magic);
  put(345, prefix);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, fields.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `);
  return concat(block, content, new Uint8Array((512 - (content.length % 512)) % 512));
}

export function tar(...entries: readonly RawTar[]): Uint8Array {
  return concat(...entries.map(tarEntry), END);
}

export function pax(records: Readonly<Record<string, string>>): string {
  return Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      const bytes = utf8(rest).length;
      const length = bytes + String(bytes + String(bytes).length).length;
      return `${length}${rest}`;
    })
    .join("");
}

export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface Craft {
  readonly layers: readonly Uint8Array[];
  /** As they stand in the archive; the same when left out. */
  readonly packed?: readonly Uint8Array[];
  readonly config?: object;
  readonly architecture?: string;
  readonly diffIds?: readonly string[];
  readonly configName?: string;
}

function configOf({ layers, config = { Cmd: ["/app"] }, architecture = "amd64", diffIds }: Craft): Uint8Array {
  const diff_ids = diffIds ?? layers.map((layer) => `sha256:${digestOf(layer)}`);
  return utf8(JSON.stringify({ architecture, os: "linux", config, rootfs: { type: "layers", diff_ids } }));
}

/** What `docker save` writes. */
export function saved(craft: Craft): Uint8Array {
  const { layers, packed = layers } = craft;
  const config = configOf(craft);
  const name = craft.configName ?? `${digestOf(config)}.json`;
  const paths = packed.map((_, index) => `${index}/layer.tar`);
  const manifest = JSON.stringify([{ Config: name, RepoTags: ["app:1"], Layers: paths }]);
  const entries = packed.map((data, index) => ({ name: paths[index] ?? "", data }));
  return tar({ name: "manifest.json", data: manifest }, { name, data: config }, ...entries);
}

/** An OCI image layout; `change` edits what goes into it. */
export function layout(craft: Craft, change: (files: Map<string, Uint8Array>) => void = () => {}): Uint8Array {
  const files = new Map<string, Uint8Array>();
  const blob = (bytes: Uint8Array, mediaType: string) => {
    files.set(`blobs/sha256/${digestOf(bytes)}`, bytes);
    return { mediaType, digest: `sha256:${digestOf(bytes)}`, size: bytes.length };
  };
  const config = blob(configOf(craft), "application/vnd.oci.image.config.v1+json");
  const layers = (craft.packed ?? craft.layers).map((each) => blob(each, "application/vnd.oci.image.layer.v1.tar"));
  const manifest = blob(utf8(JSON.stringify({ config, layers })), "application/vnd.oci.image.manifest.v1+json");
  files.set("oci-layout", utf8('{"imageLayoutVersion":"1.0.0"}'));
  files.set("index.json", utf8(JSON.stringify({ schemaVersion: 2, manifests: [manifest] })));
  change(files);
  return tar(...[...files].map(([name, data]) => ({ name, data })));
}
