/**
 * The token by which the loopback services know the program that this enclave runs.
 *
 * The boundary is the enclave: nobody else is on its loopback. The token is for mock mode, where the loopback is the
 * host's, and for what the program itself might be talked into (SSRF).
 *
 * @module
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";

/** The user's name in the proxy's URL; any would do. */
const USER = "cloister";

export interface Token {
  readonly text: string;
  /** What `Authorization` holds. */
  readonly bearer: string;
  /** `user:password` of a proxy's URL. */
  readonly userinfo: string;
  /** Whether a field `Authorization` or `Proxy-Authorization` holds it. */
  isIn(field: string | null | undefined): boolean;
}

export function createToken(): Token {
  const text = randomBytes(32).toString("base64url");
  const userinfo = `${USER}:${text}`;
  const bearer = `Bearer ${text}`;
  const known = [bearer, `Basic ${Buffer.from(userinfo).toString("base64")}`].map(digest);
  const isIn: Token["isIn"] = (field) => known.some((each) => timingSafeEqual(each, digest(field ?? "")));
  return { text, bearer, userinfo, isIn, ...{ [inspect.custom]: () => "[the program's token]" } };
}

/** Of the same length, whatever came. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
