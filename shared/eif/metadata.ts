/**
 * The metadata section: JSON in the shape that AWS's tools write and show.
 *
 * It is not measured, so whoever holds the file can change it without changing a PCR: show it, never decide by it.
 * Reading has two steps. `parseMetadataObject` takes any bounded JSON object, `readMetadata` demands AWS's fields.
 *
 * Source: aws-nitro-enclaves-image-format, `EifIdentityInfo` in `src/defs/mod.rs`.
 *
 * @module
 */
import { utf8 } from "../bytes.ts";
import { EifError } from "../errors/eif.ts";
import { isTransportError } from "../errors/transport.ts";
import { parseJson } from "../transport/json.ts";
import { EIF_METADATA_MAX } from "./layout.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Keys as AWS spells them. */
export interface EifMetadata {
  readonly ImageName: string;
  readonly ImageVersion: string;
  readonly BuildMetadata: {
    /** Any text; fixed by our builder so that a build is repeatable. */
    readonly BuildTime: string;
    readonly BuildTool: string;
    readonly BuildToolVersion: string;
    readonly OperatingSystem: string;
    readonly KernelVersion: string;
  };
  readonly DockerInfo: Json;
  readonly CustomMetadata: Json;
}

const DEPTH_MAX = 32;
const BUILD_FIELDS = ["BuildTime", "BuildTool", "BuildToolVersion", "OperatingSystem", "KernelVersion"] as const;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function writeMetadata(metadata: EifMetadata): Uint8Array {
  const { ImageName, ImageVersion, BuildMetadata, DockerInfo, CustomMetadata } = metadata;
  const build = Object.fromEntries(BUILD_FIELDS.map((field) => [field, BuildMetadata[field]]));
  return utf8(JSON.stringify({ ImageName, ImageVersion, BuildMetadata: build, DockerInfo, CustomMetadata }));
}

/**
 * Reads the section as a JSON object, whatever its fields.
 *
 * @throws {EifError} `ERR_EIF_HEADER` with field `metadata`
 */
export function parseMetadataObject(bytes: Uint8Array): { readonly [key: string]: Json } {
  if (bytes.length > EIF_METADATA_MAX) throw invalid(`at most ${EIF_METADATA_MAX} bytes`);
  if (depthOf(bytes) > DEPTH_MAX) throw invalid(`nests at most ${DEPTH_MAX} deep`);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes), refuseProto);
  } catch (cause) {
    if (cause instanceof EifError) throw cause;
    throw new EifError("ERR_EIF_HEADER", { field: "metadata", rule: "is JSON in UTF-8" }, { cause });
  }
  if (!isObject(value)) throw invalid("is a JSON object");
  return value;
}

/**
 * Reads the fields that AWS's tools write.
 *
 * @throws {EifError} `ERR_EIF_HEADER`, the field is `metadata` or a path such as `metadata.ImageName`
 */
export function readMetadata(bytes: Uint8Array): EifMetadata {
  const object = parseMetadataObject(bytes);
  const build = object["BuildMetadata"];
  if (!isObject(build)) throw invalid("is a JSON object", "metadata.BuildMetadata");
  const text = (from: { readonly [key: string]: Json }, name: string, path: string): string => {
    const value = from[name];
    if (typeof value !== "string") throw invalid("is text", `${path}.${name}`);
    return value;
  };
  const fields = Object.fromEntries(BUILD_FIELDS.map((name) => [name, text(build, name, "metadata.BuildMetadata")]));
  return {
    ImageName: text(object, "ImageName", "metadata"),
    ImageVersion: text(object, "ImageVersion", "metadata"),
    BuildMetadata: fields as unknown as EifMetadata["BuildMetadata"],
    DockerInfo: object["DockerInfo"] ?? null,
    CustomMetadata: object["CustomMetadata"] ?? null,
  };
}

/** Why another parser may read something else in it, such as a key that stands twice. */
export function ambiguityOf(bytes: Uint8Array): string | undefined {
  try {
    parseJson(bytes);
    return undefined;
  } catch (error) {
    if (!isTransportError(error)) throw error;
    return error.message;
  }
}

function invalid(rule: string, field = "metadata"): EifError {
  return new EifError("ERR_EIF_HEADER", { field, rule });
}

function isObject(value: unknown): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseProto(key: string, value: unknown): unknown {
  if (key === "__proto__") throw invalid("has no key named __proto__");
  return value;
}

/** Deepest nesting outside strings, counted before the text is handed to a recursive reader. */
function depthOf(bytes: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return deepest;
}
