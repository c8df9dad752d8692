/**
 * Rows C01 to C21: what is no COSE_Sign1 of the one profile that NSM emits.
 */
import { concat, fromHex } from "../../shared/bytes.ts";
import { type Forged, forge, forgeIndefinite, Raw } from "./cbor-writer.ts";
import { ALGORITHM, describeRows, MALFORMED, type Row, SIGNATURE, variants } from "./row.ts";
import { makeChain } from "./test-pki.ts";

const header = (hex: string): Partial<Row> => ({ message: (m) => void (m.protected = fromHex(hex)) });
const unprotected = (value: Forged): Partial<Row> => ({ message: (m) => void (m.unprotected = value) });
const payload = (value: Forged): Partial<Row> => ({ message: (m) => void (m.payload = value) });
const before = (hex: string): Partial<Row> => ({ bytes: (d) => concat(fromHex(hex), d) });
/** The four parts of the message, each as it was written. */
const reframe = (write: (parts: readonly Raw[]) => Uint8Array): Partial<Row> => ({
  bytes: (d) => {
    const payloadAt = 7;
    const payloadEnd = d.length - 98;
    const cut = (from: number, to: number): Raw => new Raw(d.subarray(from, to));
    return write([cut(1, 6), cut(6, payloadAt), cut(payloadAt, payloadEnd), cut(payloadEnd, d.length)]);
  },
});

const stranger = await makeChain((list) => void list.splice(1));
const x5chain = (): Map<Forged, Forged> => new Map<Forged, Forged>([[33, stranger.certificates[0] ?? null]]);

const ROWS: readonly Row[] = [
  ...variants("C01", MALFORMED, [
    ["an array of three", reframe((parts) => forge(parts.slice(0, 3)))],
    ["an array of five", reframe((parts) => forge([...parts, null]))],
    ["an empty array", reframe(() => forge([]))],
    [
      "a map",
      reframe(([a, b, c, d]) =>
        forge(
          new Map<Forged, Forged>([
            [1, a ?? 0],
            [2, b ?? 0],
            [3, c ?? 0],
            [4, d ?? 0],
          ]),
        ),
      ),
    ],
    ["an array of indefinite length", reframe((parts) => forgeIndefinite(parts))],
  ]),
  { id: "C01", why: "the same four parts, framed again", ...reframe((parts) => forge(parts)), expect: "accepted" },
  ...variants("C02", MALFORMED, [
    ["tag 98, COSE_Sign", before("d862")],
    ["tag 17, COSE_Mac0", before("d1")],
    ["tag 16, COSE_Encrypt0", before("d0")],
    ["tag 61, CWT", before("d83d")],
    ["tag 61 around tag 18", before("d83dd2")],
    ["tag 998", before("d903e6")],
  ]),
  { id: "C03", why: "tag 18 in shortest form", ...before("d2"), expect: "accepted" },
  { id: "C03", why: "tag 18 twice", ...before("d2d2"), expect: MALFORMED },
  { id: "C04", why: "tag 18 not minimal", ...before("d812"), expect: MALFORMED },
  {
    id: "C05",
    why: "the protected header as a map",
    message: (m) => void (m.protected = new Map([[1, -35]])),
    expect: MALFORMED,
  },
  { id: "C06", why: "the protected header empty", ...header(""), expect: ALGORITHM },
  {
    id: "C07",
    why: "alg unprotected alone",
    message: (m) => {
      m.protected = fromHex("a0");
      m.unprotected = new Map([[1, -35]]);
    },
    expect: ALGORITHM,
  },
  { id: "C07", why: "no alg at all", ...header("a0"), expect: ALGORITHM },
  { id: "C08", why: "a byte after the header's map", ...header("a101382200"), expect: MALFORMED },
  ...variants("C09", ALGORITHM, [
    ["ES256", header("a10126")],
    ["ES512", header("a1013823")],
    ["PS256", header("a1013824")],
    ["RS256", header("a101390100")],
    ["EdDSA", header("a10127")],
    ["HMAC 256", header("a10105")],
  ]),
  ...variants("C10", ALGORITHM, [
    ["alg as text", header("a101654553333834")],
    ["alg -999", header("a1013903e6")],
    ["alg -2^64", header("a1013bffffffffffffffff")],
    ["alg as an array", header("a10180")],
    ["alg as null", header("a101f6")],
  ]),
  // Floats are no CBOR that is read here, in a header as anywhere.
  { id: "C10", why: "alg as a float", ...header("a101f9d060"), expect: MALFORMED },
  { id: "C10", why: "the header as an array", ...header("820138"), expect: MALFORMED },
  { id: "C10", why: "the header as a number", ...header("01"), expect: MALFORMED },
  ...variants("C11", MALFORMED, [
    ["alg twice, then ES256", header("a20138220126")],
    ["alg twice, the same", header("a2013822013822")],
  ]),
  ...variants("C12", MALFORMED, [
    ["kid", header("a201382204410a")],
    ["ctyp", header("a2013822036161")],
    ["x5chain", header("a2013822182141aa")],
    ["x5u", header("a20138221823 6161".replace(" ", ""))],
    ["crit", header("a201382202811863")],
    // The shape that stopped go-cose: a critical label that is no label.
    ["crit with an array as label", header("a20138220281 80".replace(" ", ""))],
  ]),
  { id: "C13", why: "crit unprotected", ...unprotected(new Map<Forged, Forged>([[2, [1]]])), expect: MALFORMED },
  ...variants("C14", MALFORMED, [
    ["kid unprotected", unprotected(new Map<Forged, Forged>([[4, 1]]))],
    ["10 KiB unprotected", unprotected(new Map<Forged, Forged>([[99, new Uint8Array(10_240)]]))],
  ]),
  ...variants("C15", MALFORMED, [
    ["unprotected null", unprotected(null)],
    ["unprotected an array", unprotected([])],
    ["unprotected bytes", unprotected(fromHex("a0"))],
  ]),
  {
    id: "C16",
    why: "x5chain unprotected, whose key signed",
    message: (m) => {
      m.unprotected = x5chain();
      m.signer = stranger.keys[0] ?? -1;
    },
    expect: MALFORMED,
  },
  { id: "C17", why: "a detached payload", ...payload(null), expect: MALFORMED },
  ...variants("C18", MALFORMED, [
    ["the payload as a map", payload(new Map())],
    ["the payload empty", payload(new Uint8Array(0))],
    ["the payload not a map inside", payload(fromHex("00"))],
    ["a payload of 16 385 bytes", { payloadBytes: (p) => fill(p, 16_385) }],
  ]),
  { id: "C18", why: "a payload of 16 384 bytes", payloadBytes: (p) => fill(p, 16_384), expect: "accepted" },
  {
    id: "C19",
    why: "signed with external data",
    isSigning: true,
    message: (m) => void (m.signed.aad = fromHex("11")),
    expect: SIGNATURE,
  },
  {
    id: "C20",
    why: "signed as COSE_Sign's",
    isSigning: true,
    message: (m) => void (m.signed.context = "Signature"),
    expect: SIGNATURE,
  },
  {
    id: "C21",
    why: "signed over a header that was encoded again",
    isSigning: true,
    message: (m) => void (m.signed.protected = fromHex("a101390022")),
    expect: SIGNATURE,
  },
];

/** An unknown field of text that makes the payload so long. */
function fill(payload: Uint8Array, length: number): Uint8Array {
  const text = length - payload.length - 5;
  const head = Uint8Array.of(0x61, 0x78, 0x79, text >> 8, text & 0xff);
  return concat(payload.subarray(0, -1), head, new Uint8Array(text).fill(0x78), fromHex("ff"));
}

describeRows("COSE", ROWS);
