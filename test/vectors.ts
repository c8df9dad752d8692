/**
 * The reference vectors: read from `CLOISTER_VECTORS`, default `../shared/vectors` from the repository root.
 *
 * They belong to others and are never copied into the project. Where they are absent a suite skips by name.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = process.env["CLOISTER_VECTORS"] ?? fileURLToPath(new URL("../../shared/vectors", import.meta.url));

export const hasVectors: boolean = existsSync(`${root}/index.json`);

/** Where a file or folder of the vectors is. */
export function vectorsPath(path: string): string {
  return `${root}/${path}`;
}

export function vector(path: string): Uint8Array {
  return new Uint8Array(readFileSync(`${root}/${path}`));
}

export interface GenuineDocument {
  readonly file: string;
  readonly kind: "nsm" | "nitrotpm";
  readonly module_id: string;
  readonly timestamp: number;
  readonly debug_mode_pcr0_zero: boolean;
}

export interface VectorIndex {
  readonly attestation: readonly GenuineDocument[];
  readonly attestation_invalid: readonly { readonly file: string; readonly why: string; readonly expect: string }[];
  readonly kms_cms: readonly {
    readonly id: string;
    readonly file: string;
    readonly decrypts?: boolean;
    readonly key_file?: string;
    readonly plaintext_hex?: string;
    readonly genuine_kms?: boolean;
  }[];
}

export function vectorIndex(): VectorIndex {
  if (!hasVectors) return { attestation: [], attestation_invalid: [], kms_cms: [] };
  return JSON.parse(readFileSync(`${root}/index.json`, "utf8")) as VectorIndex;
}
