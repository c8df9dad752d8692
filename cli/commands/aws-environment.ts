/**
 * What clients of a mock AWS need, as shell exports and the files that they name.
 *
 * AWS CLI, boto3 and the SDKs read AWS_ENDPOINT_URL, Region and credentials; the first two read AWS_CA_BUNDLE, Node
 * NODE_EXTRA_CA_CERTS. Every principal of the seed is a profile in the credentials file, e.g. `111122223333-user-admin`.
 * All files are written, or none is left.
 *
 * @module
 */
import { lstat, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { MockAws, SeededCredentials } from "../../mock/aws/index.ts";
import { ConfigError } from "../../shared/errors/index.ts";

export interface Environment {
  readonly url: string;
  readonly region: string;
  /** PEM; absent over plain HTTP. */
  readonly caCertificate?: string;
  readonly credentials: readonly SeededCredentials[];
  /** Path of the control socket. */
  readonly control?: string;
}

export function environmentOf(
  { url, caCertificatePem }: MockAws,
  rest: Pick<Environment, "region" | "credentials"> & { readonly control: string | undefined },
): Environment {
  const { control, ...facts } = rest;
  return {
    ...{ url, ...facts },
    ...(url.startsWith("https:") ? { caCertificate: caCertificatePem } : {}),
    ...(control === undefined ? {} : { control }),
  };
}

const CERTIFICATE = ".ca.pem";
const PROFILES = ".credentials";

/** The absolute path of an environment file that can be written. @throws {ConfigError} `ERR_CONFIG_FILE` */
export async function readEnvironmentPath(given: string): Promise<string> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a shell or a terminal would take for something else
  if (/[\u0000-\u001f\u007f]/.test(given)) throw unusable(JSON.stringify(given), "control characters in its name");
  if (given === "" || /(^|\/)\.{0,2}$/.test(given)) throw unusable(given, "it names no file");
  const path = resolve(given);
  for (const each of [path, path + CERTIFICATE, path + PROFILES]) {
    const stat = await lstat(each).catch(() => undefined);
    // A link is replaced, not followed.
    if (stat && !stat.isFile() && !stat.isSymbolicLink()) throw unusable(each, "there is something that is no file");
  }
  return path;
}

/** Writes the exports, `<path>.ca.pem` and `<path>.credentials`, readable by this user only. @throws {ConfigError} */
export async function writeEnvironment(
  environment: Environment,
  given: string,
): Promise<{ readonly path: string; readonly text: string }> {
  const path = await readEnvironmentPath(given);
  const { caCertificate, credentials } = environment;
  const certificate = caCertificate === undefined ? undefined : path + CERTIFICATE;
  const text = exportsOf(environment, { certificate, profiles: path + PROFILES });
  await writePrivate([
    ...(caCertificate === undefined ? [] : [[path + CERTIFICATE, caCertificate] as const]),
    [path + PROFILES, credentials.map(profileOf).join("\n")],
    [path, text], // last: who waits for it finds the rest
  ]);
  return { path, text };
}

function exportsOf(
  { url, region, credentials, control }: Environment,
  { certificate, profiles }: { readonly certificate: string | undefined; readonly profiles: string },
): string {
  const [first] = credentials;
  const values: Readonly<Record<string, string | undefined>> = {
    AWS_ENDPOINT_URL: url,
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_CA_BUNDLE: certificate,
    NODE_EXTRA_CA_CERTS: certificate,
    AWS_ACCESS_KEY_ID: first?.accessKeyId,
    AWS_SECRET_ACCESS_KEY: first?.secretAccessKey,
    AWS_SESSION_TOKEN: first?.sessionToken,
    AWS_SHARED_CREDENTIALS_FILE: profiles,
    AWS_PROFILE: undefined,
    CLOISTER_AWS_CONTROL: control,
  };
  // What is left from another session would go before what is set here.
  const lines = Object.entries(values).map(([name, value]) =>
    value === undefined ? `unset ${name}` : `export ${name}=${quote(value)}`,
  );
  return `${lines.join("\n")}\n`;
}

/** A line of a credentials file can name a program that is run: no value begins one. */
function profileOf(credentials: SeededCredentials): string {
  const { accountId, type, name, accessKeyId, secretAccessKey, sessionToken } = credentials;
  for (const [field, value] of Object.entries({ accountId, type, name, accessKeyId, secretAccessKey, sessionToken }))
    if (value !== undefined && !/^[A-Za-z0-9+/=_,.@-]+$/.test(value))
      throw new ConfigError("ERR_CONFIG_FIELD_INVALID", {
        field: `credentials.${field}`,
        expected: "characters that AWS uses",
        actual: "others",
      });
  return [
    `[${accountId}-${type}-${name}]`,
    `aws_access_key_id = ${accessKeyId}`,
    `aws_secret_access_key = ${secretAccessKey}`,
    ...(sessionToken === undefined ? [] : [`aws_session_token = ${sessionToken}`]),
    "",
  ].join("\n");
}

/** In the place of what is there, whatever its mode was; first all are written, then each takes its place. */
async function writePrivate(files: readonly (readonly [path: string, text: string])[]): Promise<void> {
  const draftOf = (path: string): string => `${path}.${process.pid}`;
  const placed: string[] = [];
  let current = "";
  try {
    for (const [path, text] of files) {
      current = path;
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rm(draftOf(path), { force: true });
      await writeFile(draftOf(path), text, { mode: 0o600, flag: "wx" });
    }
    for (const [path] of files) {
      current = path;
      await rename(draftOf(path), path);
      placed.push(path);
    }
  } catch (cause) {
    const left = [...files.map(([path]) => draftOf(path)), ...placed];
    await Promise.all(left.map((path) => rm(path, { force: true }).catch(() => undefined))); // the first failure is told
    throw unusable(current, (cause as NodeJS.ErrnoException).code ?? "not writable", { cause });
  }
}

/** What a shell reads as one word. */
export function quote(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

function unusable(path: string, reason: string, options?: ErrorOptions): ConfigError {
  return new ConfigError("ERR_CONFIG_FILE", { path, reason }, options);
}
