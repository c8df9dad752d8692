/** What is inside a sealed message: read strictly, since whoever asks for the key can seal anything to it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSessionError } from "../../shared/errors/session.ts";
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from "../../shared/session/sealed-http.ts";

function message(head: unknown, body = ""): Uint8Array {
  const text = Buffer.from(typeof head === "string" ? head : JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Uint8Array.from(Buffer.concat([length, text, Buffer.from(body)]));
}

const GOOD = { method: "POST", path: "/a?b", headers: [["x-a", "1"]] };

describe("a request", () => {
  test("is read as it was written", () => {
    const body = Uint8Array.of(0, 255);
    const request = { method: "PUT", path: "/a?b=c", headers: [["x-a", "\t1"]] as const, body };
    expect(decodeRequest(encodeRequest(request))).toEqual(request);
    expect(decodeRequest(message(GOOD, "x")).body).toEqual(Uint8Array.of(120));
  });

  test.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array()],
    ["half a length", Uint8Array.of(0, 0, 0)],
    ["a head that is longer than the message", Uint8Array.of(0, 0, 0, 9, 123)],
    ["a head of 16 385 bytes", message(`{"x":"${"x".repeat(16_377)}"}`)],
    ["a key twice", message('{"method":"GET","method":"PUT","path":"/","headers":[]}')],
    ["__proto__", message('{"method":"GET","path":"/","headers":[],"__proto__":{}}')],
    ["a list", message([])],
    ["no method", message({ ...GOOD, method: undefined })],
    ["CONNECT", message({ ...GOOD, method: "CONNECT" })],
    ["a method with a space", message({ ...GOOD, method: "GET /" })],
    ["another place's path", message({ ...GOOD, path: "http://evil.test/" })],
    ["a path with a line end", message({ ...GOOD, path: "/\r\nx: y" })],
    ["a path with a space", message({ ...GOOD, path: "/ x" })],
    ["no headers", message({ ...GOOD, headers: undefined })],
    ["headers as an object", message({ ...GOOD, headers: { a: "b" } })],
    ["a header of three parts", message({ ...GOOD, headers: [["a", "b", "c"]] })],
    ["a header's name in capitals", message({ ...GOOD, headers: [["A", "b"]] })],
    ["a header's name with a colon", message({ ...GOOD, headers: [["a:", "b"]] })],
    ["a header's value with a line end", message({ ...GOOD, headers: [["a", "b\r\nc: d"]] })],
    ["a header's value that is a number", message({ ...GOOD, headers: [["a", 1]] })],
  ])("is refused: %s", (_, bytes) => {
    expect(() => decodeRequest(bytes)).toThrowError(expect.objectContaining({ code: "ERR_SESSION_MALFORMED" }));
  });

  test("a path that another host could be read from stays a path", () => {
    const { path } = decodeRequest(message({ ...GOOD, path: "//evil.test/x" }));
    expect(new URL(`http://enclave${path}`).host).toBe("enclave");
  });

  test("reading throws nothing but its own error", () => {
    const reads = (bytes: Uint8Array): void => {
      for (const decode of [decodeRequest, decodeAnswer]) {
        try {
          decode(bytes);
        } catch (error) {
          if (!isSessionError(error)) throw error;
        }
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), reads));
    fc.assert(fc.property(fc.jsonValue(), (value) => reads(message(value))));
  });
});

describe("an answer", () => {
  test("is read as it was written", () => {
    const answer = { status: 200, headers: [["x-a", "1"]] as const, body: Uint8Array.of(1) };
    expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer);
  });

  test.each([199, 600, 200.5, "200", null])("has no status of %s", (status) => {
    const bytes = message({ status, headers: [] });
    expect(() => decodeAnswer(bytes)).toThrowError(expect.objectContaining({ code: "ERR_SESSION_MALFORMED" }));
  });

  test("whose head is too long is not written", () => {
    const headers = [["x-a", "x".repeat(16_384)]] as const;
    expect(() => encodeAnswer({ status: 200, headers, body: new Uint8Array() })).toThrowError(
      expect.objectContaining({ code: "ERR_SESSION_MALFORMED" }),
    );
  });
});
