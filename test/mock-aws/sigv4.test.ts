/** Signature Version 4: AWS's own vectors for the canonical form, then requests with one thing wrong. */
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SignatureV4 } from "@smithy/signature-v4";
import { describe, expect, test } from "vitest";
import { AwsFault } from "../../mock/aws/fault.ts";
import {
  canonicalRequest,
  headerValues,
  type ReceivedRequest,
  sha256Hex,
  sign,
  stringToSign,
} from "../../mock/aws/sigv4/canonical.ts";
import { verifySignature } from "../../mock/aws/sigv4/verify.ts";
import { utf8 } from "../../shared/bytes.ts";

const vectors = join(process.env["CLOISTER_VECTORS"] ?? "../shared/vectors", "conformance/aws-sigv4/v4");

describe("AWS's signing vectors", () => {
  const has = existsSync(vectors);
  const isOffered = (name: string): boolean =>
    // On `/` without a query: what the JSON protocol uses. Lines folded in a header never pass Node's parser.
    readFileSync(join(vectors, name, "request.txt"), "utf8")
      .split(" HTTP/1.1")[0]
      ?.endsWith(" /") === true && name !== "get-header-value-multiline";
  const names = has ? readdirSync(vectors).filter(isOffered) : [];

  test.skipIf(!has)("enough of them are on / without a query (skipped without CLOISTER_VECTORS)", () => {
    expect(names.length).toBeGreaterThanOrEqual(10);
  });

  test.each(names)("%s", (name) => {
    const read = (file: string): string => readFileSync(join(vectors, name, file), "utf8");
    const context = JSON.parse(read("context.json")) as {
      credentials: { secret_access_key: string };
      region: string;
      service: string;
      timestamp: string;
    };
    const request = parseText(read("header-signed-request.txt"));
    const [authorization = ""] = headerValues(request, "authorization");
    const signedHeaders = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(";") ?? [];
    const canonical = canonicalRequest(request, signedHeaders);
    expect(canonical).toBe(read("header-canonical-request.txt"));
    const amzDate = context.timestamp.replaceAll(/[-:]/g, "");
    const scope = { day: amzDate.slice(0, 8), region: context.region, service: context.service };
    const text = stringToSign(amzDate, scope, canonical);
    expect(text).toBe(read("header-string-to-sign.txt"));
    expect(sign(context.credentials.secret_access_key, scope, text)).toBe(read("header-signature.txt").trim());
  });
});

function parseText(text: string): ReceivedRequest {
  const [head = "", body = ""] = text.split("\n\n", 2);
  const [line = "", ...headers] = head.split("\n");
  const [method = "", target = ""] = line.split(" ");
  const pairs = headers.map(
    (header) => [header.slice(0, header.indexOf(":")), header.slice(header.indexOf(":") + 1)] as const,
  );
  return { method, target, headers: pairs, body: utf8(body) };
}

const NOW = new Date("2026-03-01T12:00:00Z");
const credential = { accessKeyId: "ASIAEXAMPLEEXAMPLE00", secretAccessKey: "secret", sessionToken: "token" };
const body = utf8('{"KeyId":"k"}');

interface Signing {
  readonly service?: string;
  readonly region?: string;
  readonly at?: Date;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string | undefined;
  readonly unsigned?: readonly string[];
}

class Sha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    const key = ArrayBuffer.isView(secret)
      ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength)
      : secret;
    this.#hash = key === undefined ? createHash("sha256") : createHmac("sha256", key as string);
  }
  update(data: Uint8Array | string): void {
    this.#hash.update(data);
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}

/** Signed by AWS's own signer. */
async function signed(signing: Signing = {}): Promise<ReceivedRequest> {
  const { service = "kms", region = "eu-central-1", at = NOW, headers = {}, unsigned = [] } = signing;
  const token = "token" in signing ? signing.token : credential.sessionToken;
  const { sessionToken: _, ...keys } = credential;
  const credentials = token === undefined ? keys : { ...keys, sessionToken: token };
  const signer = new SignatureV4({ service, region, credentials, sha256: Sha256, applyChecksum: false });
  const request = await signer.sign(
    {
      ...{ method: "POST", protocol: "https:", hostname: "127.0.0.1", path: "/", query: {}, body },
      headers: { host: "127.0.0.1", "x-amz-target": "TrentService.Decrypt", ...headers },
    },
    { signingDate: at, unsignableHeaders: new Set(unsigned) },
  );
  return { method: "POST", target: "/", headers: Object.entries(request.headers), body };
}

function verdict(request: ReceivedRequest, now = NOW, expiresAt?: Date): string {
  const known = { ...credential, ...(expiresAt ? { expiresAt } : {}) };
  try {
    const { region } = verifySignature(request, {
      ...{ service: "kms", regions: new Set(["eu-central-1", "us-east-1"]), now, maxSkewMs: 300_000 },
      find: (accessKeyId) => (accessKeyId === credential.accessKeyId ? known : undefined),
    });
    return region;
  } catch (error) {
    if (error instanceof AwsFault) return error.error;
    throw error;
  }
}

type Change = (request: ReceivedRequest) => ReceivedRequest;
const edit =
  (name: string, change: (value: string) => string): Change =>
  (request) => ({
    ...request,
    headers: request.headers.map(([given, value]) => [given, given.toLowerCase() === name ? change(value) : value]),
  });
const add =
  (name: string, value: string): Change =>
  (request) => ({ ...request, headers: [...request.headers, [name, value]] });
const drop =
  (name: string): Change =>
  (request) => ({ ...request, headers: request.headers.filter(([given]) => given.toLowerCase() !== name) });
const auth = (change: (value: string) => string): Change => edit("authorization", change);
const INVALID = "InvalidSignatureException";
const INCOMPLETE = "IncompleteSignatureException";

describe("verifySignature", () => {
  test("the baseline is accepted, and again: AWS keeps no list", async () => {
    const request = await signed();
    expect([verdict(request), verdict(request)]).toEqual(["eu-central-1", "eu-central-1"]);
  });

  test.each<readonly [string, Change, string]>([
    ["K01 no Authorization", drop("authorization"), "MissingAuthenticationTokenException"],
    ["K02 unknown access key", auth((v) => v.replace("ASIAEXAMPLE", "ASIAOTHER00")), "UnrecognizedClientException"],
    ["K03 last digit", auth((v) => v.replace(/.$/, (c) => (c === "0" ? "1" : "0"))), INVALID],
    ["K03 upper case", auth((v) => v.replace(/[0-9a-f]{64}$/, (hex) => hex.toUpperCase())), INVALID],
    ["K03 truncated", auth((v) => v.slice(0, -1)), INVALID],
    ["K04 another body", (r) => ({ ...r, body: utf8('{"KeyId":"K"}') }), INVALID],
    ["K06 no date", drop("x-amz-date"), INVALID],
    ["K06 malformed date", edit("x-amz-date", (v) => v.replace("T", "t")), INVALID],
    ["K06 a day that is none", edit("x-amz-date", () => "20260301T250000Z"), INVALID],
    ["K06 Date only", (r) => add("date", NOW.toUTCString())(drop("x-amz-date")(r)), INVALID],
    ["K07 another day", auth((v) => v.replace("/20260301/", "/20260302/")), INVALID],
    ["K07 no terminator", auth((v) => v.replace("/aws4_request", "")), INVALID],
    ["K07 something after it", auth((v) => v.replace("/aws4_request", "/aws4_request/x")), INVALID],
    ["K08 listed and absent", auth((v) => v.replace("host;", "host;x-absent;")), INVALID],
    ["K08 listed in upper case", auth((v) => v.replace("host;", "Host;")), INVALID],
    ["K08 listed twice", auth((v) => v.replace("host;", "host;host;")), INVALID],
    ["K08 target repeated", add("X-Amz-Target", "TrentService.Decrypt"), INVALID],
    ["K08 host repeated", add("Host", "127.0.0.1"), INVALID],
    ["K08 x-amz header not signed", add("x-amz-extra", "1"), INVALID],
    ["K09 SigV4A", auth((v) => v.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")), INCOMPLETE],
    ["K09 SigV2", auth(() => "AWS ASIAEXAMPLEEXAMPLE00:c2lnbmF0dXJl"), INCOMPLETE],
    [
      "K09 two Authorization headers",
      (r) => add("authorization", headerValues(r, "authorization")[0] ?? "")(r),
      INCOMPLETE,
    ],
    ["K10 no session token", drop("x-amz-security-token"), INVALID],
    ["K10 another token than signed", edit("x-amz-security-token", () => "other"), "UnrecognizedClientException"],
    ["K11 another target than signed", edit("x-amz-target", () => "TrentService.Encrypt"), INVALID],
    ["another method than signed", (r) => ({ ...r, method: "PUT" }), INVALID],
    ["another path than signed", (r) => ({ ...r, target: "/x" }), INVALID],
    ["a query that is not signed", (r) => ({ ...r, target: "/?a=b" }), INVALID],
  ])("%s → refused", async (_why, change, expected) => {
    expect(verdict(change(await signed()))).toBe(expected);
  });

  test.each<readonly [string, Signing, string]>([
    ["K04 the right x-amz-content-sha256", { headers: { "x-amz-content-sha256": sha256Hex(body) } }, "eu-central-1"],
    ["K04 a wrong one", { headers: { "x-amz-content-sha256": sha256Hex("x") } }, INVALID],
    ["K05 UNSIGNED-PAYLOAD", { headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } }, INVALID],
    ["K05 STREAMING", { headers: { "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" } }, INVALID],
    ["K07 service s3", { service: "s3" }, INVALID],
    ["K07 a region that is not there", { region: "eu-west-9" }, INVALID],
    ["another region that is", { region: "us-east-1" }, "us-east-1"],
    ["K08 target not signed", { unsigned: ["x-amz-target"] }, INVALID],
    ["K08 host not signed", { unsigned: ["host"] }, INVALID],
    ["K10 signed without the token", { token: undefined }, "UnrecognizedClientException"],
    ["K10 signed with another session's", { token: "other" }, "UnrecognizedClientException"],
    ["the host's own region", { headers: { host: "kms.eu-central-1.amazonaws.com:8443" } }, "eu-central-1"],
    ["K07 the host of another region", { headers: { host: "kms.us-east-1.amazonaws.com" } }, INVALID],
    ["spaces in a header fold", { headers: { "x-amz-meta": "  a   b  " } }, "eu-central-1"],
  ])("%s → %s", async (_why, signing, expected) => {
    expect(verdict(await signed(signing))).toBe(expected);
  });

  const minutes = (count: number, ms = 0): Date => new Date(NOW.getTime() + count * 60_000 + ms);
  test.each([
    [-5, "eu-central-1"],
    [5, "eu-central-1"],
    [-5 - 1 / 60, INVALID],
    [5 + 1 / 60, INVALID],
    [-16, INVALID],
    [16, INVALID],
  ])("K06 signed %d minutes from now → %s", async (distance, expected) => {
    expect(verdict(await signed({ at: minutes(distance) }))).toBe(expected);
  });

  test("K10 an expired session is told so, but only to who could sign", async () => {
    const request = await signed();
    expect(verdict(request, NOW, NOW)).toBe("ExpiredTokenException");
    expect(verdict(request, NOW, minutes(0, 1))).toBe("eu-central-1");
    expect(verdict(auth((v) => v.replace(/.$/, (c) => (c === "0" ? "1" : "0")))(request), NOW, NOW)).toBe(INVALID);
  });
});
