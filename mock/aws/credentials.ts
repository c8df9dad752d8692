/**
 * Makes credentials of the form that STS hands out, from random bytes.
 *
 * @module
 */
import { randomBytes } from "node:crypto";

export interface NewCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Short-lived credentials as a role's session has them: `ASIA…`, a 40-character secret, a session token. */
export function newCredentials(): NewCredentials {
  return {
    accessKeyId: `ASIA${Array.from(randomBytes(16), (byte) => BASE32[byte % 32]).join("")}`,
    secretAccessKey: randomBytes(30).toString("base64"),
    sessionToken: `IQoJb3JpZ2luX2Vj${randomBytes(252).toString("base64")}`,
  };
}
