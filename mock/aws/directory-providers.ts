/**
 * Reads the identity providers of an account: what tokens and assertions are verified by must be a key when it is
 * written down, not when the first token comes.
 *
 * @module
 */
import { createPublicKey, type JsonWebKey, X509Certificate } from "node:crypto";
import type { MockOidcProvider, MockSamlProvider } from "./accounts.ts";
import { demand, invalidField } from "./config-field.ts";
import type { AccountRow, OidcProviderRow, SamlProviderRow } from "./directory-rows.ts";

/** @throws {ConfigError} names the field */
export function readOidcProvider(
  place: AccountRow,
  { url, clientIds, jwks }: MockOidcProvider,
  field: string,
): OidcProviderRow {
  const name = /^https:\/\/([\w.-]+(?:\/[\w./-]*)?)$/.exec(url)?.[1];
  if (name === undefined) throw invalidField(`${field}.url`, "an https URL without a query", "another form");
  for (const [k, jwk] of jwks.keys.entries()) assertKey(jwk, `${field}.jwks.keys[${k}]`);
  return { ...place, arn: arnOf(place, "oidc", name), url, clientIds, jwks };
}

/** @throws {ConfigError} names the field */
export function readSamlProvider(
  place: AccountRow,
  { name, issuer, certificates }: MockSamlProvider,
  field: string,
): SamlProviderRow {
  demand(/^[\w.-]{1,128}$/.test(name), `${field}.name`, "1 to 128 of [\\w.-]", "another form");
  demand(issuer !== "", `${field}.issuer`, "an entity id", "empty");
  demand(certificates.length <= 10, `${field}.certificates`, "at most 10", String(certificates.length));
  for (const [k, pem] of certificates.entries()) assertCertificate(pem, `${field}.certificates[${k}]`);
  return { ...place, arn: arnOf(place, "saml", name), issuer, certificates };
}

function arnOf({ partition, accountId }: AccountRow, kind: "oidc" | "saml", name: string): string {
  return `arn:${partition}:iam::${accountId}:${kind}-provider/${name}`;
}

/** A symmetric key is none that verifies, and nothing to write down beside the public ones. */
function assertKey(key: JsonWebKey, field: string): void {
  try {
    createPublicKey({ key, format: "jwk" });
  } catch (cause) {
    throw invalidField(field, "a public key as a JSON Web Key", "another form", { cause });
  }
}

function assertCertificate(pem: string, field: string): void {
  try {
    const { raw } = new X509Certificate(pem);
    const [, body = "", ...more] = pem.trim().split(/-----(?:BEGIN|END) CERTIFICATE-----/);
    if (more.length === 1 && raw.equals(Buffer.from(body, "base64"))) return;
  } catch (cause) {
    throw invalidField(field, "a certificate as PEM", "another form", { cause });
  }
  throw invalidField(field, "one certificate as PEM", "more or other bytes");
}
