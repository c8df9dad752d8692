/**
 * Crafts image files that the builder would not write, and names how a reader refuses them.
 *
 * @module
 */
import { openDigests } from "../../image/eif-digests.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { crc32 } from "../../shared/eif/crc32.ts";
import type { EifDigests } from "../../shared/eif/digest-source.ts";
import { EIF_FIELD, EIF_HEADER_BYTES } from "../../shared/eif/layout.ts";
import type { EifMetadata } from "../../shared/eif/metadata.ts";
import { buildEif, type EifContent } from "../../shared/eif/write.ts";
import { isToolkitError } from "../../shared/errors/toolkit-error.ts";

export const metadata: EifMetadata = {
  ImageName: "app",
  ImageVersion: "1",
  BuildMetadata: {
    BuildTime: "1970-01-01T00:00:00Z",
    BuildTool: "test",
    BuildToolVersion: "1",
    OperatingSystem: "none",
    KernelVersion: "none",
  },
  DockerInfo: {},
  CustomMetadata: null,
};

export const content: EifContent = {
  architecture: "x86_64",
  kernel: utf8("kernel"),
  cmdline: "console=ttyS0",
  ramdisks: [utf8("init"), utf8("app")],
  metadata,
};

/** Node's digests in this thread; nothing to dispose of. */
export const nodeDigests: EifDigests = openDigests(0);

/** Sections: 0 kernel, 1 cmdline, 2 metadata, 3 and 4 ramdisks. */
export const baseline: () => Uint8Array = () => buildEif(content);

export type Part = readonly [type: number, bytes: Uint8Array];
export const [KERNEL, CMDLINE, RAMDISK, SIGNATURE, METADATA] = [1, 2, 3, 4, 5] as const;

/** A file of these sections, header and table right, whatever their order. */
export function craft(parts: readonly Part[]): Uint8Array {
  const file = concat(
    baseline().subarray(0, EIF_HEADER_BYTES),
    ...parts.flatMap(([type, bytes]) => section(type, bytes)),
  );
  const view = viewOf(file);
  view.setUint16(EIF_FIELD.sectionCount, parts.length);
  let offset = EIF_HEADER_BYTES;
  for (let index = 0; index < 32; index++) {
    const part = parts[index];
    view.setBigUint64(EIF_FIELD.offsets + 8 * index, part ? BigInt(offset) : 0n);
    view.setBigUint64(EIF_FIELD.sizes + 8 * index, part ? BigInt(part[1].length) : 0n);
    offset += part ? 12 + part[1].length : 0;
  }
  return sealed(file);
}

function section(type: number, bytes: Uint8Array): Uint8Array[] {
  const header = new Uint8Array(12);
  viewOf(header).setUint16(0, type);
  viewOf(header).setBigUint64(4, BigInt(bytes.length));
  return [header, bytes];
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The same file with its checksum made right again. */
export function sealed(file: Uint8Array): Uint8Array {
  const crc = crc32(file.subarray(0, EIF_FIELD.crc), file.subarray(EIF_HEADER_BYTES));
  viewOf(file).setUint32(EIF_FIELD.crc, crc);
  return file;
}

/** `accepted`, or the code and the fact that says where. */
export async function verdict(call: () => unknown): Promise<string> {
  try {
    await call();
    return "accepted";
  } catch (error) {
    if (!isToolkitError(error)) return error instanceof Error ? error.name : String(error);
    const { field, section, entry } = error.details as Readonly<Record<string, unknown>>;
    const place = field ?? section ?? entry;
    return place === undefined ? error.code : `${error.code} ${String(place)}`;
  }
}
