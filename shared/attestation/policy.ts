/**
 * What a relying party demands of an enclave. Absence is not permission: a check is switched off by writing that down.
 *
 * A policy comes from outside (a configuration file, untyped code), so it is read field by field into a snapshot before
 * any document is looked at; a field that is missing, mistyped or not known is a `ConfigError`.
 *
 * @module
 */
import { fromHex, isAllZero } from "../bytes.ts";
import { ConfigError } from "../errors/config.ts";
import type { AttestationKind } from "./document.ts";
import type { TrustAnchor } from "./trust.ts";

/** A register's expected value: 96 hex digits, either case, or 48 bytes. */
export type Pcr = string | Uint8Array;

/** Registers of one image; all must match together. */
export type ImageMeasurements = Readonly<Record<number, Pcr>>;

export interface AttestationPolicy {
  /** Which device must have signed. Named by the caller, never guessed. */
  readonly kind: AttestationKind;
  /** Trust anchors. Normally `[AWS_NITRO_ROOT_G1]`; the mock root is never implied. */
  readonly roots: readonly [TrustAnchor, ...TrustAnchor[]];
  /**
   * Images that are allowed, one at least; a document must match one of them in every register named. For `nsm` each
   * names PCR0, PCR1 and PCR2: bytes can move between the sections of an image without changing PCR0 alone.
   */
  readonly images: readonly [ImageMeasurements, ...ImageMeasurements[]];
  /** The challenge that this document must answer, at least 16 bytes. */
  readonly nonce: Uint8Array | "unchecked";
  /** Oldest acceptable document, in milliseconds before `now`. */
  readonly maxAgeMs: number | "unchecked";
  /** The user data that the document must carry: its bytes, or the purpose that this toolkit writes there. */
  readonly userData: Uint8Array | UserDataPolicy | "unchecked";
  /** The public key that the document must carry. */
  readonly publicKey: Uint8Array | "unchecked";
  /** Images that are refused although `images` would allow them: a document that matches one in every register named. */
  readonly revokedImages?: readonly ImageMeasurements[];
  /** Accepts an enclave in debug mode, whose console and memory the parent can read. */
  readonly dangerouslyAllowDebug?: true;
}

/** What a document must be for (`user-data.ts`). */
export interface UserDataPolicy {
  readonly purpose: string;
  /** SHA-384 of what the document must vouch for, 48 bytes. */
  readonly digest: Uint8Array | "unchecked";
  /** Oldest acceptable version that the image may name for itself. */
  readonly minimumImageVersion: number | "unchecked";
}

/** The snapshot that is enforced. */
export interface Policy {
  readonly kind: AttestationKind;
  readonly roots: readonly TrustAnchor[];
  readonly images: readonly ReadonlyMap<number, Uint8Array>[];
  readonly nonce: Uint8Array | "unchecked";
  readonly maxAgeMs: number | "unchecked";
  readonly userData: Uint8Array | UserDataPolicy | "unchecked";
  readonly publicKey: Uint8Array | "unchecked";
  readonly revokedImages: readonly ReadonlyMap<number, Uint8Array>[];
  readonly allowDebug: boolean;
}

const NONCE_MIN = 16;
const FIELD_MAX = 1024;
const PCR_BYTES = 48;
const PCR_COUNT: Readonly<Record<AttestationKind, number>> = { nsm: 32, nitrotpm: 24 };
const FIELDS = [
  "kind",
  "roots",
  "images",
  "nonce",
  "maxAgeMs",
  "userData",
  "publicKey",
  "revokedImages",
  "dangerouslyAllowDebug",
] as const;

function invalid(field: string, expected: string, value: unknown): ConfigError {
  if (value === undefined) return new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected });
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual: shapeOf(value) });
}

function shapeOf(value: unknown): string {
  if (value === null) return "null";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === "string") return `a string of ${value.length} characters`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === "number" ? String(value) : typeof value;
}

/** @throws {ConfigError} */
export function readPolicy(policy: AttestationPolicy): Policy {
  if (typeof policy !== "object" || policy === null) throw invalid("policy", "an object", policy);
  for (const field of Object.keys(policy)) {
    if (!FIELDS.some((known) => known === field)) {
      throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field, known: FIELDS });
    }
  }
  // Own fields only: what somebody put on a prototype is not what the caller wrote.
  const own: Partial<AttestationPolicy> = Object.assign(Object.create(null), policy);
  const { kind, roots, images, nonce, maxAgeMs, userData, publicKey, revokedImages = [], dangerouslyAllowDebug } = own;
  if (kind !== "nsm" && kind !== "nitrotpm") throw invalid("kind", '"nsm" or "nitrotpm"', kind);
  if (dangerouslyAllowDebug !== undefined && dangerouslyAllowDebug !== true) {
    throw invalid("dangerouslyAllowDebug", "true or left out", dangerouslyAllowDebug);
  }
  const allowDebug = dangerouslyAllowDebug === true;
  return {
    kind,
    roots: readRoots(roots),
    images: readImages(images, kind, allowDebug),
    nonce: readBytes("nonce", nonce, NONCE_MIN),
    maxAgeMs: readMaxAge(maxAgeMs),
    userData: readUserDataPolicy(userData),
    publicKey: readBytes("publicKey", publicKey, 1),
    revokedImages: readRevoked(revokedImages, kind),
    allowDebug,
  };
}

function readRoots(roots: unknown): readonly TrustAnchor[] {
  const expected = "one trust anchor or more";
  if (!Array.isArray(roots) || roots.length === 0) throw invalid("roots", expected, roots);
  return Array.from(roots, (root: unknown, index) => {
    if (!(root instanceof Uint8Array) || root.length === 0) throw invalid(`roots[${index}]`, "a trust anchor", root);
    return Uint8Array.from(root) as TrustAnchor;
  });
}

function readMaxAge(value: unknown): number | "unchecked" {
  if (value === "unchecked") return value;
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
    throw invalid("maxAgeMs", 'milliseconds above 0, or "unchecked"', value);
  }
  return value;
}

function readBytes(field: string, value: unknown, minimum: number): Uint8Array | "unchecked" {
  if (value === "unchecked") return value;
  if (!(value instanceof Uint8Array) || value.length < minimum || value.length > FIELD_MAX) {
    throw invalid(field, `${minimum} to ${FIELD_MAX} bytes, or "unchecked"`, value);
  }
  return Uint8Array.from(value);
}

const USER_DATA_FIELDS = ["purpose", "digest", "minimumImageVersion"] as const;

function readUserDataPolicy(value: unknown): Uint8Array | UserDataPolicy | "unchecked" {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array)
    return readBytes("userData", value, 0);
  const unknown = Object.keys(value).find((field) => !USER_DATA_FIELDS.some((known) => known === field));
  if (unknown !== undefined) {
    throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: `userData.${unknown}`, known: USER_DATA_FIELDS });
  }
  const own: Partial<UserDataPolicy> = Object.assign(Object.create(null), value);
  const { purpose, digest, minimumImageVersion } = own;
  if (typeof purpose !== "string" || !/^[a-z][a-z0-9-]{0,31}$/.test(purpose)) {
    throw invalid("userData.purpose", "1 to 32 lower-case letters, digits and hyphens", purpose);
  }
  const isVersion = Number.isSafeInteger(minimumImageVersion) && Number(minimumImageVersion) >= 0;
  if (minimumImageVersion === undefined || (minimumImageVersion !== "unchecked" && !isVersion)) {
    throw invalid("userData.minimumImageVersion", 'a whole number, or "unchecked"', minimumImageVersion);
  }
  if (digest !== "unchecked" && !(digest instanceof Uint8Array && digest.length === PCR_BYTES)) {
    throw invalid("userData.digest", `${PCR_BYTES} bytes, or "unchecked"`, digest);
  }
  return { purpose, digest: digest === "unchecked" ? digest : Uint8Array.from(digest), minimumImageVersion };
}

function readRevoked(images: unknown, kind: AttestationKind): ReadonlyMap<number, Uint8Array>[] {
  if (!Array.isArray(images)) throw invalid("revokedImages", "an array of images, or left out", images);
  return Array.from(images, (image: unknown, index) => {
    const path = `revokedImages[${index}]`;
    const registers = readRegisters(image, path, kind);
    if (registers.size === 0) throw invalid(path, "one register or more", image);
    return registers;
  });
}

function readImages(images: unknown, kind: AttestationKind, allowDebug: boolean): ReadonlyMap<number, Uint8Array>[] {
  if (!Array.isArray(images) || images.length === 0) throw invalid("images", "one image or more", images);
  // Array.from visits holes too: a hole is a missing image, not one that matches.
  return Array.from(images, (image: unknown, index) => readImage(image, `images[${index}]`, kind, allowDebug));
}

function readImage(image: unknown, path: string, kind: AttestationKind, allowDebug: boolean): Map<number, Uint8Array> {
  const pcrs = readRegisters(image, path, kind);
  const required = kind === "nsm" ? [0, 1, 2] : [];
  for (const index of required) {
    const value = pcrs.get(index);
    const expected = "the value of this register (PCR0, PCR1 and PCR2 are pinned together)";
    if (!value) throw invalid(`${path}.${index}`, expected, undefined);
    if (isAllZero(value) && !allowDebug)
      throw invalid(`${path}.${index}`, "a measurement (all zero is debug mode)", value);
  }
  if (pcrs.size === 0) throw invalid(path, "one register or more", image);
  return pcrs;
}

function readRegisters(image: unknown, path: string, kind: AttestationKind): Map<number, Uint8Array> {
  if (typeof image !== "object" || image === null || Array.isArray(image)) {
    throw invalid(path, "registers by number", image);
  }
  const pcrs = new Map<number, Uint8Array>();
  for (const [key, value] of Object.entries(image)) {
    const index = Number(key);
    if (!/^(0|[1-9][0-9]?)$/.test(key) || index >= PCR_COUNT[kind]) {
      throw invalid(`${path}.${key}`, `a register of 0 to ${PCR_COUNT[kind] - 1}`, key);
    }
    pcrs.set(index, readPcr(value, `${path}.${key}`));
  }
  return pcrs;
}

function readPcr(value: unknown, path: string): Uint8Array {
  const isHex = typeof value === "string" && /^[0-9a-fA-F]{96}$/.test(value);
  const bytes = isHex ? fromHex(value) : value;
  if (!(bytes instanceof Uint8Array) || bytes.length !== PCR_BYTES)
    throw invalid(path, "96 hex digits or 48 bytes", value);
  return Uint8Array.from(bytes);
}
