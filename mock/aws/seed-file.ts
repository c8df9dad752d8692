/**
 * Reads a seed: what a mock AWS starts with, as a JSON file or as an object.
 *
 * Strict JSON, and no field that the schema does not know. Files that it names (attestation roots) are read here, from
 * the seed's own folder, so that what goes on stands alone.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "../../shared/errors/index.ts";
import type { MockAccount, MockPrincipal } from "./accounts.ts";
import { invalidField } from "./config-field.ts";
import { readFileInput } from "./file-input.ts";
import type { PolicyDocument } from "./iam/policy.ts";
import { type Json, parseJson } from "./json.ts";
import type { QuotaOption } from "./kms/quotas.ts";
import { checkForm } from "./seed-form.ts";
import { SEED_SCHEMA } from "./seed-schema.ts";

export interface SeedCredential {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly sessionName?: string;
  /** ISO 8601. */
  readonly expiresAt?: string;
}

/** `generate` keeps those that the principal has. */
export type SeedCredentials = "generate" | readonly SeedCredential[];

export interface SeedPrincipal extends Omit<MockPrincipal, "identityPolicies" | "credentials"> {
  readonly identityPolicies?: readonly PolicyDocument[];
  readonly credentials?: SeedCredentials;
}

export interface SeedAccount extends Omit<MockAccount, "principals" | "rootCredentials"> {
  readonly principals?: readonly SeedPrincipal[];
  readonly rootCredentials?: SeedCredentials;
}

/** What of a key can change. */
export interface SeedKeyMembers {
  readonly policy?: PolicyDocument;
  readonly bypassPolicyLockoutSafetyCheck?: boolean;
  readonly description?: string;
  readonly aliases?: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
}

export interface SeedReplica extends SeedKeyMembers {
  readonly region: string;
}

export interface SeedKey extends SeedKeyMembers {
  /** Unique in the seed; the key id is made from it where none is given. */
  readonly name: string;
  readonly accountId: string;
  readonly region: string;
  readonly keyId?: string;
  readonly spec?: string;
  readonly usage?: string;
  readonly multiRegion?: boolean;
  readonly rotationPeriodDays?: number;
  readonly replicas?: readonly SeedReplica[];
}

/** AWS's own, a file beside the seed, or DER in base64. */
export type SeedRoot = "aws" | { readonly file: string } | { readonly der: string };

/** What a mock AWS starts with. What is not named stays as it is. */
export interface MockAwsSeed {
  readonly $schema?: string;
  readonly regions?: readonly string[];
  readonly accounts?: readonly SeedAccount[];
  readonly keys?: readonly SeedKey[];
  readonly attestationRoots?: readonly SeedRoot[];
  readonly quotas?: QuotaOption;
}

const SEED_MAX = 64 * 1024 * 1024;
const ROOT_MAX = 1024 * 1024;

/** @throws {ConfigError} names the field */
export function checkSeed(value: unknown): MockAwsSeed {
  // What an object's members were when it was given counts, and what JSON does not have is not in it.
  const json = parseJson(JSON.stringify(value ?? null));
  checkForm(SEED_SCHEMA, json, "");
  const seed = json as unknown as MockAwsSeed; // the schema and the type say the same
  for (const [i, root] of (seed.attestationRoots ?? []).entries())
    if (typeof root === "object" && Object.keys(root).length !== 1)
      throw invalidField(`attestationRoots[${i}]`, "file or der, one of them", `${Object.keys(root).length} of them`);
  const names = (seed.keys ?? []).map(({ name }) => name);
  for (const [i, name] of names.entries())
    if (names.indexOf(name) !== i) throw invalidField(`keys[${i}].name`, "unique", "a repetition");
  return seed;
}

/** Reads a seed file, and the files that it names. @throws {ConfigError} */
export async function readSeedFile(file: string | URL): Promise<MockAwsSeed> {
  const path = typeof file === "string" ? file : fileURLToPath(file);
  const bytes = await readFileInput(path, { maxBytes: SEED_MAX, mayBePipe: true });
  let value: Json;
  try {
    value = parseJson(new Uint8Array(bytes));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: `not strict JSON: ${cause.message}` }, { cause });
  }
  return resolveSeed(value, dirname(path));
}

/** With the files that it names in their place. @throws {ConfigError} */
export async function resolveSeed(value: unknown, folder: string): Promise<MockAwsSeed> {
  const seed = checkSeed(value);
  if (!seed.attestationRoots) return seed;
  const roots = seed.attestationRoots.map(async (root): Promise<SeedRoot> => {
    if (typeof root === "string" || !("file" in root)) return root;
    return { der: derOf(await readFileInput(resolve(folder, root.file), { maxBytes: ROOT_MAX })).toString("base64") };
  });
  return { ...seed, attestationRoots: await Promise.all(roots) };
}

function derOf(bytes: Buffer): Buffer {
  const [, body] =
    /-----BEGIN CERTIFICATE-----([\s\S]+?)-----END CERTIFICATE-----/.exec(bytes.toString("latin1")) ?? [];
  return body === undefined ? bytes : Buffer.from(body, "base64");
}
