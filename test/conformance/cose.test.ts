/**
 * Examples of the COSE working group and of gluecose, through the one reader that documents pass.
 *
 * There is no generic COSE layer here, and none is claimed: `readSign1` reads the one profile that NSM emits. So all
 * messages under another algorithm, tag, header or structure must be refused; of the two ES384 messages that are COSE_Sign1
 * only an unsigned `kid` stands between them and the profile. With the `kid` taken out (it is not signed) they are read,
 * the bytes to be signed are those that the examples give, and the signature verifies under their key.
 */
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex } from "../../shared/bytes.ts";
import { isSigned } from "../../shared/cose/es384.ts";
import { readSign1 } from "../../shared/cose/sign1.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { hasVectors, vector, vectorsPath } from "../vectors.ts";

interface Jwk {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly y: string;
}

interface Message {
  readonly name: string;
  readonly cbor: string;
  readonly toBeSigned?: string | undefined;
  readonly key?: Jwk | undefined;
}

function json(path: string): Record<string, never> {
  return JSON.parse(Buffer.from(vector(path)).toString()) as Record<string, never>;
}

function read<Value>(from: unknown, ...path: readonly string[]): Value | undefined {
  let value = from;
  for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
  return value as Value | undefined;
}

function filesOf(folder: string): string[] {
  return readdirSync(vectorsPath(folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".json") && !name.endsWith("index.json"))
    .map((name) => `${folder}/${name}`)
    .sort();
}

const workingGroup: Message[] = hasVectors
  ? filesOf("conformance/cose-wg-examples").map((name) => {
      const example = json(name);
      return {
        name,
        cbor: read<string>(example, "output", "cbor") ?? "",
        toBeSigned: read<string>(example, "intermediates", "ToBeSign_hex"),
        key: read<Jwk>(example, "input", "sign0", "key"),
      };
    })
  : [];

const gluecose: Message[] = hasVectors
  ? filesOf("conformance/gluecose").map((name) => {
      const example = json(name);
      const verify = read<string>(example, "sign1::verify", "taggedCOSESign1", "cborHex");
      const cbor = verify ?? read<string>(example, "sign1::sign", "expectedOutput", "cborHex") ?? "";
      const toBeSigned = read<string>(example, "sign1::sign", "tbsHex", "cborHex");
      return { name, cbor, toBeSigned, key: read<Jwk>(example, "key") };
    })
  : [];

function verdict(cbor: string): string {
  try {
    readSign1(fromHex(cbor));
    return "read";
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return `${error.code}${error.code === "ERR_ATTESTATION_MALFORMED" ? ` ${error.details.path}` : ""}`;
  }
}

/** Protected header ES384 and nothing else, as NSM writes it. */
const isEs384 = ({ cbor }: Message): boolean => /^d28444a1013822/i.test(cbor);
/** The unprotected `{4: "P384"}`, which is not signed, made the empty map. */
const withoutKid = (cbor: string): Uint8Array =>
  fromHex(cbor.toLowerCase().replace("a1044450333834", "a0").replace("a1045033383458", "a058"));

describe.skipIf(!hasVectors)("COSE examples (needs the reference vectors)", () => {
  test("18 of the working group and 14 of gluecose", () => {
    expect([workingGroup.length, gluecose.length]).toEqual([18, 14]);
    expect([...workingGroup, ...gluecose].filter(({ cbor }) => cbor === "")).toEqual([]);
  });

  test.each([...workingGroup, ...gluecose])("C02, C09, C12, C14: $name is refused as it is", ({ cbor }) => {
    expect(verdict(cbor)).toMatch(/^ERR_ATTESTATION_(ALGORITHM|MALFORMED)/);
  });

  test("C09: what is COSE_Sign1 under another algorithm is refused for its algorithm", () => {
    const others = [...workingGroup, ...gluecose].filter(({ cbor }) =>
      /^(d2)?8443a10126|^d28444a1013823|^d28444a1013824|^d28444a1013825|^d28444a1013826/i.test(cbor),
    );
    expect(others.length).toBeGreaterThanOrEqual(15);
    for (const { name, cbor } of others) expect(verdict(cbor), name).toBe("ERR_ATTESTATION_ALGORITHM");
  });

  test("the ES384 messages verify once their unsigned kid is gone", async () => {
    const messages = [...workingGroup, ...gluecose].filter(isEs384);
    expect(messages.map(({ name }) => name.replace(/^.*\//, ""))).toEqual([
      "ecdsa-sig-02.json",
      "sign1-sign-0002.json",
      "sign1-verify-0002.json",
    ]);
    for (const { name, cbor, toBeSigned, key } of messages) {
      expect(verdict(cbor), name).toBe("ERR_ATTESTATION_MALFORMED unprotected");
      const { signed, signature } = readSign1(withoutKid(cbor));
      if (toBeSigned) expect(toHex(signed), name).toBe(toBeSigned.toLowerCase());
      const { kty = "", crv = "", x = "", y = "" } = key ?? {};
      const algorithm = { name: "ECDSA", namedCurve: "P-384" };
      const imported = await crypto.subtle.importKey("jwk", { kty, crv, x, y }, algorithm, false, ["verify"]);
      expect(await isSigned(imported, signature, signed), name).toBe(true);
      expect(await isSigned(imported, signature, concat(signed, Uint8Array.of(0))), name).toBe(false);
    }
  });
});
