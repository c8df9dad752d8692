/** What nobody signed costs little: AssumeRoleWithSAML asks for no credentials, so anybody can send it XML. */
import { DOMParser } from "@xmldom/xmldom";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { SignedXml } from "xml-crypto";
import { CERTIFICATES_MAX, signedElement } from "../../mock/aws/sts/saml-signature.ts";
import { boundedXml, XML_LIMITS } from "../../mock/aws/sts/xml-bounds.ts";
import { makeSigner, response, type Signer, signed } from "./sts-saml-bed.ts";

let idp: Signer;
let strangers: readonly string[];
const spies = {
  parsed: vi.spyOn(DOMParser.prototype, "parseFromString"),
  loaded: vi.spyOn(SignedXml.prototype, "loadSignature"),
  checked: vi.spyOn(SignedXml.prototype, "checkSignature"),
};
/** How often the parser of this side, and the library, were asked. */
const asked = (...names: readonly (keyof typeof spies)[]): readonly number[] =>
  names.map((name) => spies[name].mock.calls.length);
beforeAll(async () => {
  idp = await makeSigner();
  const { certificate } = await makeSigner();
  strangers = Array.from({ length: CERTIFICATES_MAX }, () => certificate);
});
afterAll(() => {
  for (const spy of Object.values(spies)) spy.mockRestore();
});

function refused(xml: string, certificates: readonly string[] = [idp.certificate]): boolean {
  // Whoever signed it used the library too.
  for (const spy of Object.values(spies)) spy.mockClear();
  try {
    signedElement(xml, certificates);
    return false;
  } catch (error) {
    expect(error).toMatchObject({ name: "AwsFault", error: "InvalidIdentityToken" });
    return true;
  }
}

const { elements, levels, attributes, namespaces } = XML_LIMITS;
const within = (inner: string): string =>
  signed(response(), { by: idp }).replace("<saml:Subject>", `${inner}<saml:Subject>`);
const inSignedInfo = (inner: string): string =>
  signed(response(), { by: idp }).replace("</SignedInfo>", `${inner}</SignedInfo>`);
const numbered = (count: number, write: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => write(i)).join("");

describe("before any parser", () => {
  test.each<readonly [string, () => string]>([
    ["10 000 comments", () => within("<!---->".repeat(10_000))],
    ["one comment", () => within("<!---->")],
    ["a processing instruction", () => within("<?x?>")],
    ["a CDATA section", () => within("<![CDATA[]]>")],
    ["a second declaration", () => `<?xml version="1.0"?>${within('<?xml version="1.0"?>')}`],
    ["18 000 elements", () => within("<a/>".repeat(18_000))],
    ["elements in SignedInfo", () => inSignedInfo("<a/>".repeat(18_000))],
    ["10 000 levels", () => within("<a>".repeat(10_000) + "</a>".repeat(10_000))],
    ["7 000 attributes", () => within(`<a${numbered(7_000, (i) => ` a${i}=""`)}/>`)],
    ["5 000 namespaces in SignedInfo", () => inSignedInfo(`<a${numbered(5_000, (i) => ` xmlns:a${i}="u"`)}/>`)],
    ["tags that do not end", () => "<a ".repeat(24_000)],
    ["nothing but <", () => "<".repeat(70_000)],
    ["a tag that closes another", () => within("<a></b>")],
    ["an element that stays open", () => `<a>${within("")}`],
    ["an attribute without quotes", () => within("<a b=c/>")],
  ])("%s", (_what, xml) => {
    expect(refused(xml())).toBe(true);
    expect(asked("parsed", "loaded")).toEqual([0, 0]);
  });

  test.each<readonly [keyof typeof XML_LIMITS, number, (count: number) => string]>([
    ["elements", elements, (count) => `<a>${"<b/>".repeat(count - 1)}</a>`],
    ["levels", levels, (count) => "<a>".repeat(count) + "</a>".repeat(count)],
    [
      "attributes",
      attributes,
      (count) => `<a>${"<b c=\"\" d=''/>".repeat(count / 4)}<b${numbered(count / 2, (i) => ` e${i}=""`)}/></a>`,
    ],
    ["namespaces", namespaces, (count) => `<a>${'<b xmlns="u" xmlns:c="v"/>'.repeat(count / 2)}</a>`],
  ])("%s: as many as the limit, and not one more", (what, limit, write) => {
    const step = what === "attributes" ? 4 : what === "namespaces" ? 2 : 1;
    expect(boundedXml(write(limit))).toBe(write(limit));
    expect(() => boundedXml(write(limit + step))).toThrow(SyntaxError);
  });

  test.each<readonly [string, string]>([
    ["spaces in a tag", " "],
    ["spaces around =", "\t"],
    ["a long name", "x"],
    ["text", "&amp;"],
  ])("reading takes a time in proportion to the length: %s", (what, piece) => {
    const write = (count: number): string => {
      const long = piece.repeat(count);
      if (what === "text") return `<a>${long}</a>`;
      return what === "spaces around =" ? `<a b${long}=${long}>` : `<a ${long}`;
    };
    const [short, long] = [write(100_000), write(400_000)];
    const fastest = (xml: string): number =>
      Math.min(
        ...Array.from({ length: 7 }, () => {
          const started = performance.now();
          try {
            boundedXml(xml);
          } catch (error) {
            expect(error).toBeInstanceOf(SyntaxError);
          }
          return performance.now() - started;
        }),
      );
    // Four times the text: a time that grew with the square would be sixteen times as long.
    expect(fastest(long)).toBeLessThan(10 * Math.max(fastest(short), 0.05));
  });
});

describe("before the digest", () => {
  test.each<readonly [string, () => string]>([
    ["an algorithm that is not accepted", () => within("").replace("#rsa-sha256", "#hmac-sha1")],
    ["a canonical form with comments", () => within("").replaceAll("exc-c14n#", "exc-c14n#WithComments")],
    ["a third transform", () => within("").replace(/(<Transform [^>]*\/>)/, "$1$1")],
    ["a second SignedInfo", () => within("").replace(/(<SignedInfo.*<\/SignedInfo>)/, "$1$1")],
    ["a SignedInfo elsewhere", () => within("<SignedInfo/>")],
    [
      "a SignatureMethod of another namespace",
      () => within("").replace("<SignatureMethod", '<SignatureMethod xmlns="u" Algorithm="x"/><SignatureMethod'),
    ],
    ["an unknown part of SignedInfo", () => inSignedInfo("<a/>")],
    ["an Object", () => within("").replace("</Signature>", "<Object/></Signature>")],
  ])("%s", (_what, xml) => {
    expect(refused(xml())).toBe(true);
    expect(asked("parsed", "loaded")).toEqual([1, 0]);
  });
});

describe("certificates", () => {
  test("ten are tried with the work of one; an eleventh is not", () => {
    const xml = signed(response(), { by: idp });
    expect(refused(xml, [...strangers.slice(1), idp.certificate])).toBe(false);
    expect(asked("loaded", "checked")).toEqual([1, 1]);
    expect(refused(xml, [...strangers, idp.certificate])).toBe(true);
    expect(asked("loaded", "checked")).toEqual([1, 1]);
  });

  test("none at all verifies nothing", () => {
    expect(refused(signed(response(), { by: idp }), [])).toBe(true);
  });
});
