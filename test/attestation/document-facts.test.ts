/** What parsing says of a document: where in it the mistake is, what text it took for bytes, and both sides of a limit. */
import { describe, expect, test } from "vitest";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { DOCUMENT_MAX, parse } from "../../shared/attestation/parse.ts";
import { utf8 } from "../../shared/bytes.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import type { Forged } from "./cbor-writer.ts";
import { certificates, field } from "./row.ts";
import { type Edits, makeChain, makeDocument } from "./test-pki.ts";

function refusal(document: Uint8Array): { readonly path: string; readonly expected: string } {
  try {
    parse(document);
  } catch (error) {
    if (isAttestationError(error) && error.code === "ERR_ATTESTATION_MALFORMED") return error.details;
    throw error;
  }
  return expect.unreachable("it was read");
}

const refusalOf = async (edits: Edits): Promise<object> => refusal((await makeDocument(edits)).document);
const bundle = (edit: (list: Forged[]) => Forged): Edits => ({
  payload: (fields) => void fields.set("cabundle", edit([...(fields.get("cabundle") as Forged[])])),
});

describe("text instead of bytes is named as text", () => {
  const TEXT = /base64, hex or PEM/;
  test.each([
    ["a line of hex", "84a1013822"],
    ["hex with spaces", "84 a1 01 38 22"],
    ["lines that end in LF", "hEShATgi\noFkR\n"],
    ["lines that end in CR", "hEShATgi\roFkR\r"],
    ["the last printable character", "~~~~"],
  ])("%s", (_, text) =>
    expect(refusal(utf8(text))).toEqual({ path: "document", expected: expect.stringMatching(TEXT) }),
  );

  test.each([
    ["a control character", 0x1f],
    ["a tab", 0x09],
    ["DEL", 0x7f],
    ["a byte beyond ASCII", 0x80],
  ])("but not bytes with %s among them", (_, byte) => {
    const { path, expected } = refusal(utf8("hEShATgi").with(3, byte));
    expect(path).toBe("document");
    expect(expected).not.toMatch(TEXT);
  });
});

describe("the place of a certificate that is none", () => {
  test.each([
    ["payload.cabundle", bundle(() => [])],
    ["payload.cabundle[0]", bundle((list) => list.with(0, null))],
    ["payload.cabundle[1]", bundle((list) => list.with(1, null))],
    ["payload.cabundle[3]", bundle((list) => list.with(3, null))],
    ["payload.certificate", field("certificate", null)],
  ])("%s", async (path, edits) => expect(await refusalOf(edits)).toMatchObject({ path }));
});

describe("limits", () => {
  const longest = new Uint8Array(1024).fill(0x30);

  test("a certificate has 1,024 bytes at most, a leaf and an issuer alike", async () => {
    const { document } = await makeDocument({
      certificates: (list) => list.map((der, index) => (index > 2 ? longest : der)),
    });
    expect(parse(document)).toMatchObject({ leaf: longest, issuers: { 3: longest } });
    const longer = new Uint8Array(1025);
    expect(await refusalOf(certificates((list) => list.with(3, longer)))).toMatchObject({
      path: "payload.cabundle[3]",
    });
    expect(await refusalOf(certificates((list) => list.with(4, longer)))).toMatchObject({
      path: "payload.certificate",
    });
  });

  test("too many registers are refused for their number, before any of them is looked at", async () => {
    const short = new Uint8Array(47);
    const registers = (count: number): Edits =>
      field("pcrs", new Map<Forged, Forged>(Array.from({ length: count }, (_, index) => [index, short])));
    expect(await refusalOf(registers(32))).toMatchObject({ path: "payload.pcrs[0]" });
    expect(await refusalOf(registers(33))).toMatchObject({ path: "payload.pcrs" });
  });

  test("a timestamp is a moment that a Date holds, up to the last", async () => {
    const { document } = await makeDocument(field("timestamp", 8_640_000_000_000_000n));
    expect(parse(document).timestamp.toISOString()).toBe("+275760-09-13T00:00:00.000Z");
    const later = field("timestamp", 8_640_000_000_000_001n);
    expect(await refusalOf(later)).toMatchObject({ path: "payload.timestamp" });
  });

  test("a document is refused for its size before it is looked at", () => {
    for (const [length, actual] of [
      [0, 0],
      [DOCUMENT_MAX + 1, DOCUMENT_MAX + 1],
    ] as const) {
      const details = { maximum: DOCUMENT_MAX, actual };
      const thrown = expect.objectContaining({ code: "ERR_ATTESTATION_SIZE", details });
      expect(() => parse(new Uint8Array(length).fill(0x41))).toThrow(thrown);
    }
    expect(refusal(new Uint8Array(DOCUMENT_MAX).fill(0x41)).path).toBe("document");
  });
});

test("what is shown unverified has the whole chain, root first and leaf last", async () => {
  const chain = await makeChain();
  const { document } = await makeDocument({ certificates: () => [...chain.certificates] });
  expect(decodeAttestationUnverified(document).chain).toEqual(chain.certificates);
});
