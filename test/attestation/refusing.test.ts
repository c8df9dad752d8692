import { expect, test } from "vitest";
import { at } from "../../shared/cose/sign1.ts";
import { EncodingError } from "../../shared/errors/encoding.ts";

test("a parser's refusal is the document's, with the place; a mistake in a parser stays what it is", () => {
  const refusal = new EncodingError("ERR_CBOR_MALFORMED", { offset: 3, rule: "shortest" });
  const throwing = (error: Error) => () =>
    at("payload", () => {
      throw error;
    });
  expect(throwing(refusal)).toThrow(expect.objectContaining({ code: "ERR_ATTESTATION_MALFORMED", cause: refusal }));
  expect(throwing(new TypeError("a bug"))).toThrow(TypeError);
});
