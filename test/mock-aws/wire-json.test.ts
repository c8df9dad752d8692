/** awsJson1_1 by raw requests: what is refused before, around and after the signature. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AwsFault } from "../../mock/aws/fault.ts";
import { NOW } from "./door-bed.ts";
import { authorizationOf, errorOf, startWireBed, type WireBed } from "./wire-bed.ts";

let bed: WireBed;
beforeAll(async () => {
  bed = await startWireBed();
});
afterAll(() => bed[Symbol.asyncDispose]());

describe("awsJson1_1", () => {
  test("an answer: status, type, request id, the emulator's date", async () => {
    const reply = await bed.post(bed.sign("{}"), "{}");
    expect(reply.status).toBe(200);
    expect(reply.headers).toMatchObject({
      "content-type": "application/x-amz-json-1.1",
      "x-amzn-requestid": expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      date: NOW.toUTCString(),
    });
    expect(bed.calls.at(-1)?.requestId).toBe(reply.headers["x-amzn-requestid"]);
  });

  test("AccessDenied writes Message, others message, some nothing", () => {
    expect(JSON.parse(new AwsFault("AccessDeniedException", "no").body())).toMatchObject({ Message: "no" });
    expect(JSON.parse(new AwsFault("NotFoundException", "no").body())).toMatchObject({ message: "no" });
    expect(new AwsFault("InvalidCiphertextException").body()).toBe('{"__type":"InvalidCiphertextException"}');
  });

  test.each([
    ["K11 no target", "", {}],
    ["K11 unknown operation", "TrentService.Explode", {}],
    ["K11 a name every object has", "TrentService.constructor", {}],
    ["K11 another service", "secretsmanager.GetSecretValue", {}],
    ["K11 more parts", "TrentService.GenerateRandom.x", {}],
    ["another path", "TrentService.GenerateRandom", { path: "/x" }],
    ["another method", "TrentService.GenerateRandom", { method: "PUT" }],
  ])("%s → UnknownOperationException", async (_why, target, args) => {
    const reply = await bed.post(bed.sign("{}", target), "{}", args);
    expect([reply.status, errorOf(reply)]).toEqual([400, "UnknownOperationException"]);
  });

  test("K09 presigned in the query → IncompleteSignatureException", async () => {
    const path = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0";
    expect(errorOf(await bed.post(bed.sign("{}"), "{}", { path }))).toBe("IncompleteSignatureException");
  });

  test.each([
    ["K12 not JSON", "{"],
    ["K12 not an object", "[]"],
    ["K12 a name twice", '{"NumberOfBytes":1,"NumberOfBytes":2}'],
    ["K12 __proto__", '{"__proto__":{"NumberOfBytes":1}}'],
    ["K12 a byte order mark", "\ufeff{}"],
    ["K12 something after", "{}{}"],
    ["K12 nothing", ""],
    ["K12 40 levels", `{"a":${"[".repeat(40)}${"]".repeat(40)}}`],
  ])("%s → SerializationException", async (_why, body) => {
    const reply = await bed.post(bed.sign(body), body);
    expect([reply.status, errorOf(reply)]).toEqual([400, "SerializationException"]);
  });

  test.each<readonly [string, Record<string, string>, (names: string[]) => string[]]>([
    ["K05 UNSIGNED-PAYLOAD, signed with the body", { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" }, (names) => names],
    ["K04 another hash, signed with the body", { "x-amz-content-sha256": "0".repeat(64) }, (names) => names],
    ["K08 signed in another order", {}, (names) => names.reverse()],
    ["K08 one signed twice", {}, (names) => ["content-type", ...names]],
    ["K08 the target not signed", {}, (names) => names.filter((name) => name !== "x-amz-target")],
  ])("%s → InvalidSignatureException", async (_why, extra, order) => {
    const { authorization: _, ...headers } = bed.sign("{}", undefined, extra);
    const authorization = authorizationOf(headers, { body: "{}", service: "kms", order });
    expect(errorOf(await bed.post({ ...headers, authorization }, "{}"))).toBe("InvalidSignatureException");
  });

  test("K12 bytes that are not UTF-8 → SerializationException", async () => {
    const body = Buffer.from('{"Description":"\xff"}', "latin1");
    expect(errorOf(await bed.post(bed.sign(body), body))).toBe("SerializationException");
  });

  test.each([
    ["content type", { "content-type": "application/json" }],
    ["K12 gzip", { "content-encoding": "gzip" }],
    ["K12 chunked", { "transfer-encoding": "chunked" }],
  ])("%s → SerializationException", async (_why, extra) => {
    const headers = { ...bed.sign("{}"), ...extra };
    expect(errorOf(await bed.post(headers, "{}"))).toBe("SerializationException");
  });
});
