/**
 * What clients of a mock AWS need, as shell exports and the files that they name.
 *
 * AWS CLI, boto3 and the SDKs read AWS_ENDPOINT_URL, Region and credentials; the first two read AWS_CA_BUNDLE, Node
 * NODE_EXTRA_CA_CERTS. Every principal of the seed is a profile in the credentials file, e.g. `111122223333-user-admin`.
 *
 * @module
 */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
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

/** Writes the exports, `<path>.ca.pem` and `<path>.credentials`, readable by this user only. @throws {ConfigError} */
export async function writeEnvironment(
  environment: Environment,
  path: string,
): Promise<{ readonly path: string; readonly text: string }> {
  const { caCertificate, credentials } = environment;
  const certificate = caCertificate === undefined ? undefined : `${path}.ca.pem`;
  const text = exportsOf(environment, { certificate, profiles: `${path}.credentials` });
  if (certificate !== undefined && caCertificate !== undefined) await writePrivate(certificate, caCertificate);
  await writePrivate(`${path}.credentials`, credentials.map(profileOf).join("\n"));
  await writePrivate(path, text); // last: who waits for it finds the rest
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

function profileOf(credentials: SeededCredentials): string {
  const { accountId, type, name, accessKeyId, secretAccessKey, sessionToken } = credentials;
  return [
    `[${accountId}-${type}-${name}]`,
    `aws_access_key_id = ${accessKeyId}`,
    `aws_secret_access_key = ${secretAccessKey}`,
    ...(sessionToken === undefined ? [] : [`aws_session_token = ${sessionToken}`]),
    "",
  ].join("\n");
}

/** In place of what is there, whatever its mode was. */
async function writePrivate(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await rm(draft, { force: true });
    await writeFile(draft, text, { mode: 0o600, flag: "wx" });
    await rename(draft, path);
  } catch (cause) {
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: (cause as NodeJS.ErrnoException).code ?? "?" }, { cause });
  }
}

function quote(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
