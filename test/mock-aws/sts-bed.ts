/** An issuer of OpenID Connect tokens, and the credentials in an answer of STS. */
import { generateKeyPairSync, sign } from "node:crypto";
import type { Credentials } from "@aws-sdk/client-sts";
import type { MockOidcProvider } from "../../mock/aws/accounts.ts";
import { ACCOUNT, type Keys } from "./door-bed.ts";

/** Alice's MFA device, as it was sold: base32. */
export const SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
export const SERIAL = `arn:aws:iam::${ACCOUNT}:mfa/alice`;

export interface TokenIssuer {
  /** As it stands in the provider's ARN. */
  readonly name: string;
  readonly provider: MockOidcProvider;
  /** Made at a time in seconds since 1970, for ten minutes, for carol. */
  token(seconds: number, claims?: object): string;
}

export function tokenIssuer(name = "token.example.com"): TokenIssuer {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const url = `https://${name}`;
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return {
    name,
    provider: { url, clientIds: ["app"], jwks: { keys: [publicKey.export({ format: "jwk" })] } },
    token: (seconds, claims = {}) => {
      const times = { iat: seconds, exp: seconds + 600 };
      const text = `${part({ alg: "ES256" })}.${part({ iss: url, aud: "app", sub: "carol-1234", ...times, ...claims })}`;
      const signature = sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" });
      return `${text}.${signature.toString("base64url")}`;
    },
  };
}

export function keysOf(given: Credentials | undefined): Keys {
  const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = given ?? {};
  return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
}
