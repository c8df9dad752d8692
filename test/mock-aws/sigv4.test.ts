/** Signature Version 4: AWS's own vectors through the verifier, then requests with one thing wrong. */
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SignatureV4 } from "@smithy/signature-v4";
import { afterAll, describe, expect, test } from "vitest";
import { AwsFault } from "../../mock/aws/fault.ts";
import { readAuthorization } from "../../mock/aws/sigv4/authorization.ts";
import {
  canonicalRequest,
  gatherHeaders,
  headerValues,
  type ReceivedRequest,
  sha256Hex,
  sign,
  signingKey,
  stringToSign,
} from "../../mock/aws/sigv4/canonical.ts";
import { SigningKeys } from "../../mock/aws/sigv4/signing-keys.ts";
import { verifySignature } from "../../mock/aws/sigv4/verify.ts";
import { utf8 } from "../../shared/bytes.ts";

const vectors = join(process.env["CLOISTER_VECTORS"] ?? "../shared/vectors", "conformance/aws-sigv4");
const has = existsSync(vectors);
const casesOf = (version: "v4" | "v4a"): string[] => {
  const hasRequest = (name: string): boolean => existsSync(join(vectors, version, name, "header-signed-request.txt"));
  return has ? readdirSync(join(vectors, version)).filter(hasRequest).sort() : [];
};

interface Context {
  readonly credentials: {
    readonly access_key_id: string;
    readonly secret_access_key: string;
    readonly token?: string;
  };
  readonly region: string;
  readonly service: string;
  readonly timestamp: string;
  readonly normalize: boolean;
  readonly omit_session_token?: boolean;
}

function open(version: "v4" | "v4a", name: string) {
  const read = (file: string): string => readFileSync(join(vectors, version, name, file), "utf8");
  return { read, context: JSON.parse(read("context.json")) as Context };
}

/** What the service that a case describes expects of a request. */
function expectationsOf({ credentials, region, service, timestamp, normalize, omit_session_token }: Context) {
  const known = {
    accessKeyId: credentials.access_key_id,
    secretAccessKey: credentials.secret_access_key,
    ...(credentials.token === undefined ? {} : { sessionToken: credentials.token }),
  };
  return {
    ...{ service, regions: new Set([region]), now: new Date(timestamp), maxSkewMs: 300_000, isPresignable: true },
    ...{ path: normalize ? ("normalized" as const) : ("verbatim" as const) },
    mayLeaveTokenUnsigned: omit_session_token ?? false,
    find: (accessKeyId: string) => (accessKeyId === known.accessKeyId ? known : undefined),
  };
}

/** The vectors' own form: LF, header lines that fold, bytes outside ASCII. */
function parseText(text: string): ReceivedRequest {
  const end = text.indexOf("\n\n");
  const [line = "", ...lines] = text.slice(0, end).split("\n");
  const [, method = "", target = ""] = /^(\S+) (.*) HTTP\/1\.1$/.exec(line) ?? [];
  const unfolded = lines
    .join("\n")
    .replaceAll(/\n(?=[ \t])/g, " ")
    .split("\n");
  const pairs = unfolded.map(
    (header) => [header.slice(0, header.indexOf(":")), header.slice(header.indexOf(":") + 1)] as const,
  );
  return { method, target, headers: gatherHeaders(pairs), body: utf8(text.slice(end + 2)) };
}

describe("AWS's signing vectors", () => {
  const passed = new Set<string>();
  afterAll(() => {
    if (has) console.log(`sigv4: ${passed.size} of ${casesOf("v4").length}`);
  });

  test.skipIf(!has)("there are 38 of them (skipped without CLOISTER_VECTORS)", () => {
    expect(casesOf("v4")).toHaveLength(38);
    expect(casesOf("v4a").length).toBeGreaterThanOrEqual(30);
  });

  test.each(casesOf("v4"))("K13: %s", (name) => {
    const { read, context } = open("v4", name);
    const expectations = expectationsOf(context);
    for (const kind of ["header", "query"]) {
      const request = parseText(read(`${kind}-signed-request.txt`));
      const authorization = readAuthorization(request, true);
      const uncovered = new Set(["X-Amz-Signature", ...(context.omit_session_token ? ["X-Amz-Security-Token"] : [])]);
      const form = { signedHeaders: authorization.signedHeaders, path: expectations.path, uncovered };
      const canonical = canonicalRequest(request, form);
      expect(canonical).toBe(read(`${kind}-canonical-request.txt`));
      const text = stringToSign(authorization.amzDate, authorization.scope, canonical);
      expect(text).toBe(read(`${kind}-string-to-sign.txt`));
      const key = signingKey(context.credentials.secret_access_key, authorization.scope);
      expect(sign(key, text)).toBe(read(`${kind}-signature.txt`).trim());
      expect(verifySignature(request, expectations).region).toBe(context.region);
      for (const changed of mutations(request)) expect(() => verifySignature(changed, expectations)).toThrow(AwsFault);
    }
    passed.add(name);
  });

  test.each(casesOf("v4a"))("K09: SigV4A %s → refused", (name) => {
    const { read, context } = open("v4a", name);
    for (const kind of ["header", "query"]) {
      const request = parseText(read(`${kind}-signed-request.txt`));
      expect(() => verifySignature(request, expectationsOf(context))).toThrow(
        expect.objectContaining({ error: "IncompleteSignatureException" }) as Error,
      );
    }
  });
});

/** The request with one byte changed: in the method, the path, the query, each header that is signed, the body. */
function mutations(request: ReceivedRequest): readonly ReceivedRequest[] {
  const flip = (text: string): string => `${text.slice(0, -1)}${text.endsWith("x") ? "y" : "x"}`;
  const [path = "", query] = request.target.split("?");
  return [
    { ...request, method: flip(request.method) },
    { ...request, target: `${path}x${query === undefined ? "" : `?${query}`}` },
    { ...request, target: query === undefined ? `${path}?x=1` : `${path}?${flip(query)}` },
    { ...request, body: utf8(`${new TextDecoder().decode(request.body)}x`) },
    ...[...request.headers.keys()].map((name) => ({
      ...request,
      headers: new Map([...request.headers, [name, headerValues(request, name).map(flip)]]),
    })),
  ];
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
  return { method: "POST", target: "/", headers: gatherHeaders(Object.entries(request.headers)), body };
}

/** The same by AWS's own signer, its signature in the query. */
async function presigned(): Promise<ReceivedRequest> {
  const { sessionToken, ...keys } = credential;
  const signer = new SignatureV4({
    ...{ service: "kms", region: "eu-central-1", sha256: Sha256, applyChecksum: false },
    credentials: { ...keys, sessionToken },
  });
  const request = await signer.presign(
    { method: "GET", protocol: "https:", hostname: "127.0.0.1", path: "/", query: {}, headers: { host: "127.0.0.1" } },
    { signingDate: NOW, expiresIn: 60 },
  );
  const query = Object.entries(request.query ?? {}).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`,
  );
  return {
    ...{ method: "GET", target: `/?${query.join("&")}`, body: new Uint8Array() },
    headers: gatherHeaders(Object.entries(request.headers)),
  };
}

function verdict(
  request: ReceivedRequest,
  now = NOW,
  expiresAt?: Date,
  more: { readonly isPresignable?: boolean; readonly maxSkewMs?: number } = {},
): string {
  const known = { ...credential, ...(expiresAt ? { expiresAt } : {}) };
  try {
    const { region } = verifySignature(request, {
      ...{ service: "kms", regions: new Set(["eu-central-1", "us-east-1"]), now, maxSkewMs: 300_000 },
      find: (accessKeyId) => (accessKeyId === credential.accessKeyId ? known : undefined),
      ...more,
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
    headers: new Map(
      [...request.headers].map(([given, values]) => [given, given === name ? values.map(change) : values]),
    ),
  });
const add =
  (name: string, value: string): Change =>
  (request) => ({
    ...request,
    headers: gatherHeaders([
      ...[...request.headers].flatMap(([given, values]) => values.map((each) => [given, each] as const)),
      [name, value],
    ]),
  });
const drop =
  (name: string): Change =>
  (request) => ({ ...request, headers: new Map([...request.headers].filter(([given]) => given !== name)) });
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

  test("K06 the skew is the service's to set", async () => {
    const request = await signed({ at: minutes(-16) });
    expect(verdict(request, NOW, undefined, { maxSkewMs: 900_000 })).toBe(INVALID);
    expect(verdict(await signed({ at: minutes(15) }), NOW, undefined, { maxSkewMs: 900_000 })).toBe("eu-central-1");
  });
});

describe("presigned", () => {
  const presignable = { isPresignable: true };
  const change =
    (from: RegExp | string, to: string): Change =>
    (request) => ({
      ...request,
      target: request.target.replace(from, to),
    });

  test("K09 refused where the service does not take it, as KMS", async () => {
    expect(verdict(await presigned())).toBe(INCOMPLETE);
    expect(verdict(await presigned(), NOW, undefined, presignable)).toBe("eu-central-1");
  });

  test.each<readonly [string, Change, string]>([
    ["the signature changed", change(/(X-Amz-Signature=.{63})./, "$1g"), INVALID],
    ["a parameter added", change("?", "?a=b&"), INVALID],
    ["a parameter repeated", change("?", "?X-Amz-Expires=60&"), INCOMPLETE],
    ["a longer life", change("X-Amz-Expires=60", "X-Amz-Expires=61"), INVALID],
    ["no end", change("&X-Amz-Expires=60", ""), INCOMPLETE],
    ["more than a week", change("X-Amz-Expires=60", "X-Amz-Expires=604801"), INCOMPLETE],
    ["no signature", change(/&X-Amz-Signature=[^&]*/, ""), INCOMPLETE],
    ["another algorithm", change("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), INCOMPLETE],
    ["names in lower case", change("X-Amz-Algorithm", "x-amz-algorithm"), INCOMPLETE],
    ["a header beside it", add("authorization", "AWS4-HMAC-SHA256 Credential=x"), INCOMPLETE],
    ["a header x-amz-* that is not signed", add("x-amz-extra", "1"), INVALID],
    ["another host", edit("host", () => "localhost"), INVALID],
    ["another token", change(/X-Amz-Security-Token=[^&]*/, "X-Amz-Security-Token=x"), "UnrecognizedClientException"],
  ])("K09 %s → refused", async (_why, mutate, expected) => {
    expect(verdict(mutate(await presigned()), NOW, undefined, presignable)).toBe(expected);
  });

  test("K06 it lives as long as it says, and not before its time", async () => {
    const request = await presigned();
    const at = (ms: number): string => verdict(request, new Date(NOW.getTime() + ms), undefined, presignable);
    expect([at(0), at(60_000), at(61_000), at(-300_000), at(-301_000)]).toEqual([
      ...["eu-central-1", "eu-central-1", INVALID, "eu-central-1", INVALID],
    ]);
  });
});

test("K14 signing keys are remembered by secret and scope, a bounded number", () => {
  const keys = new SigningKeys();
  const scope = { day: "20260301", region: "eu-central-1", service: "kms" };
  expect(keys.keyFor("a", scope)).toBe(keys.keyFor("a", scope));
  expect(keys.keyFor("b", scope)).not.toEqual(keys.keyFor("a", scope));
  expect(keys.keyFor("a", { ...scope, day: "20260302" })).toEqual(signingKey("a", { ...scope, day: "20260302" }));
  const first = keys.keyFor("a", scope);
  for (let i = 0; i < 1_000; i++) keys.keyFor(`secret ${i}`, scope);
  expect(keys.keyFor("a", scope)).not.toBe(first);
  expect(keys.keyFor("a", scope)).toEqual(first);
});
