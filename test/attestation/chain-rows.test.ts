/**
 * Rows X01 to X09, X18 to X20, X24 and X25: certificates that are each well-formed, and no chain.
 */
import { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { concat } from "../../shared/bytes.ts";
import {
  authorityKeyId,
  basicConstraints,
  bits,
  extension,
  keyUsage,
  NULL,
  name,
  oid,
  sequence,
  signatureValue,
  subjectKeyId,
  text,
  tlv,
  USAGE,
} from "./der-writer.ts";
import {
  CHAIN,
  certificate,
  certificates,
  describeRows,
  field,
  flip,
  hours,
  MALFORMED,
  ROOT,
  type Row,
  variants,
  withExtensions,
} from "./row.ts";
import { CERT_SIGN, type CertificateRecipe, LEAF_USAGE, makeChain, newKeys } from "./test-pki.ts";

const { digitalSignature, nonRepudiation, keyCertSign } = USAGE;
const N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;

const stranger = await makeChain();
const strangerKeys = await newKeys();
/** Another root of the same name, and what it signed. */
const attacker = await makeChain((list) => {
  for (const recipe of list.slice(0, 1)) recipe.keys = strangerKeys;
});

/** The same certificate with the signature (r, n - s). */
function twin(der: Uint8Array): Uint8Array {
  const value = der.subarray(der.lastIndexOf(0x03, -100));
  const numbers = [4 + 3, 0].map(() => 0n);
  let at = value.indexOf(0x30) + 2;
  for (const index of [0, 1]) {
    const length = value[at + 1] ?? 0;
    numbers[index] = BigInt(`0x${Buffer.from(value.subarray(at + 2, at + 2 + length)).toString("hex")}`);
    at += 2 + length;
  }
  const [r = 0n, s = 0n] = numbers;
  const raw = Buffer.from(r.toString(16).padStart(96, "0") + (N - s).toString(16).padStart(96, "0"), "hex");
  const content = der.subarray(4, der.length - value.length);
  return sequence(content, bits(signatureValue(raw)));
}

const issuer = (recipe: CertificateRecipe, subject: string): CertificateRecipe => ({
  ...recipe,
  subject,
  extensions: [basicConstraints(true), CERT_SIGN],
});
const id = (byte: number): Uint8Array => new Uint8Array(20).fill(byte);
const ROWS: readonly Row[] = [
  {
    id: "X01",
    why: "cabundle reversed",
    ...certificates((c) => [...c.slice(0, -1).reverse(), ...c.slice(-1)]),
    expect: ROOT,
  },
  { id: "X01", why: "cabundle rotated", ...certificates(([r, a, b, c, l]) => [a, b, c, r, l]), expect: ROOT },
  {
    id: "X01",
    why: "two intermediates swapped",
    ...certificates(([r, a, b, ...rest]) => [r, b, a, ...rest]),
    expect: CHAIN,
  },
  {
    id: "X02",
    why: "an attacker's root of the same name",
    certificates: () => [...attacker.certificates],
    expect: ROOT,
  },
  {
    id: "X03",
    why: "the trusted root's bytes before the chain of an attacker's",
    ...certificates(([r]) => [r, ...attacker.certificates.slice(1)]),
    expect: CHAIN,
  },
  {
    id: "X03",
    why: "a link whose issuer did not sign it",
    ...certificates((c) => c.map((der, index) => (der && index === 3 ? flip(der, -1) : der))),
    expect: CHAIN,
  },
  {
    id: "X04",
    why: "the root with the twin of its signature",
    ...certificates(([r, ...rest]) => [r && twin(r), ...rest]),
    expect: ROOT,
  },
  {
    id: "X05",
    why: "the root with a byte behind it",
    ...certificates(([r, ...rest]) => [r && concat(r, Uint8Array.of(0)), ...rest]),
    expect: ROOT,
  },
  {
    id: "X06",
    why: "a self-signed leaf",
    chain: (list) => {
      for (const leaf of list.slice(4))
        Object.assign(leaf, { issuer: leaf.subject, keys: strangerKeys, signer: strangerKeys });
    },
    expect: CHAIN,
  },
  { id: "X06", why: "the root as leaf", ...certificates((c) => [...c.slice(0, -1), c[0]]), expect: CHAIN },
  { id: "X06", why: "the root as leaf under itself", ...certificates(([r]) => [r, r]), expect: CHAIN },
  {
    id: "X06",
    why: "a leaf that the root issued",
    chain: (list) => void list.splice(1, 3),
    message: (m) => void (m.signer = 1),
    expect: "accepted",
  },
  ...variants("X07", CHAIN, [
    ["an intermediate missing", certificates(([r, , ...rest]) => [r, ...rest])],
    ["the last issuer missing", certificates(([r, a, b, , l]) => [r, a, b, l])],
    [
      "a stranger's certificate among them",
      certificates(([r, a, ...rest]) => [r, a, stranger.certificates[3], ...rest]),
    ],
    ["an issuer twice", certificates(([r, a, ...rest]) => [r, a, a, ...rest])],
    ["the root twice", certificates(([r, ...rest]) => [r, r, ...rest])],
    [
      "two authorities that sign each other, neither under the root",
      {
        chain: (list) => {
          const [, first, second] = list;
          if (!first || !second) throw new RangeError("two authorities");
          Object.assign(first, {
            issuer: second.subject,
            signer: strangerKeys,
            extensions: [basicConstraints(true), CERT_SIGN],
          });
          Object.assign(second, { keys: strangerKeys });
        },
      },
    ],
  ]),
  {
    id: "X08",
    why: "twelve deep",
    ...certificates(([r, a, b, c, l]) => [r, a, a, a, a, a, a, a, a, b, c, l]),
    expect: MALFORMED,
  },
  { id: "X08", why: "seven deep", ...certificates(([r, a, b, c, l]) => [r, a, a, a, b, c, l]), expect: MALFORMED },
  {
    id: "X08",
    why: "six deep, which is a chain",
    chain: (list) => {
      const [root, ...rest] = list.splice(0);
      if (!root) throw new RangeError("a root");
      list.push(root, issuer(root, "CN=super"), ...rest);
      for (const [index, recipe] of list.entries()) recipe.subject = `CN=${index}`;
    },
    message: (m) => void (m.signer = 5),
    expect: "accepted",
  },
  {
    id: "X09",
    why: "a leaf that another leaf issued",
    chain: (list) => {
      const leaf = list.at(-1);
      if (leaf) list.push({ ...leaf, subject: "CN=forged", keys: strangerKeys });
    },
    expect: CHAIN,
  },
  ...variants("X18", CHAIN, [
    ["one byte", certificate(3, (r) => void (r.issuer = "CN=zonam"))],
    ["case", certificate(3, (r) => void (r.issuer = "CN=Zonal"))],
    ["PrintableString for UTF8String", certificate(3, (r) => void (r.issuer = name("CN=zonal", 0x13)))],
    [
      "order of RDNs",
      {
        chain: (list) => {
          const [, , zonal, instance] = list;
          if (zonal && instance) [zonal.subject, instance.issuer] = ["CN=zonal,O=Amazon", "O=Amazon,CN=zonal"];
        },
      },
    ],
    [
      "two attributes in one RDN",
      certificate(3, (r) => {
        const attribute = (id: string, value: string) => sequence(oid(id), text(value));
        r.issuer = sequence(tlv(0x31, attribute("2.5.4.3", "zonal"), attribute("2.5.4.10", "x")));
      }),
    ],
  ]),
  {
    id: "X18",
    why: "long names in the same order",
    chain: (list) => void (list[2] && (list[2].subject = "CN=zonal,OU=AWS,O=Amazon,C=US")),
    expect: "accepted",
  },
  {
    id: "X19",
    why: "authorityKeyIdentifier of another issuer",
    chain: (list) => {
      list[2]?.extensions.push(subjectKeyId(id(1)));
      list[3]?.extensions.push(authorityKeyId(id(2)));
    },
    expect: CHAIN,
  },
  {
    id: "X19",
    why: "authorityKeyIdentifier of the issuer",
    chain: (list) => {
      list[2]?.extensions.push(subjectKeyId(id(1)));
      list[3]?.extensions.push(authorityKeyId(id(1)));
    },
    expect: "accepted",
  },
  {
    id: "X20",
    why: "no authorityKeyIdentifier on the leaf, though its issuer has an identifier",
    chain: (list) => {
      for (const [index, recipe] of list.slice(0, 4).entries()) recipe.extensions.push(subjectKeyId(id(index)));
      for (const [index, recipe] of list.slice(1, 4).entries()) recipe.extensions.push(authorityKeyId(id(index)));
    },
    expect: "accepted",
  },
  {
    id: "X20",
    why: "an identifier of the authority, which itself has none",
    ...more(4, authorityKeyId(id(1))),
    expect: "accepted",
  },
  {
    id: "X24",
    why: "a root of another name under AWS's",
    ...certificate(0, (r) => void (r.subject = "CN=aws-us-gov.nitro-enclaves")),
    policy: { roots: [AWS_NITRO_ROOT_G1] },
    expect: ROOT,
  },
  {
    id: "X24",
    why: "a root of another name that is configured",
    ...certificate(0, (r) => void (r.subject = "CN=aws-us-gov.nitro-enclaves")),
    expect: "accepted",
  },
  {
    id: "X24",
    why: "no trusted root at all",
    policy: { roots: [dangerouslyTrustRoot(Uint8Array.of(1))] },
    expect: ROOT,
  },
  // The leaf's name is not compared: PCR4, which the hypervisor measures, decides which instance it is.
  {
    id: "X25",
    why: "a leaf named otherwise than module_id",
    ...certificate(4, (r) => void (r.subject = "CN=i-0fedcba987654321f-enc0")),
    expect: "accepted",
  },
  {
    id: "X25",
    why: "a module_id of another instance than PCR4 measures",
    ...field("module_id", "i-0fedcba987654321f-enc0123456789abcdef"),
    expect: "ERR_ATTESTATION_MODULE_ID_MISMATCH",
  },
  {
    id: "X07",
    why: "the regional certificate expired and not needed is still of the chain",
    ...certificate(1, (r) => void (r.notAfter = hours(-1))),
    expect: "ERR_ATTESTATION_CERTIFICATE_TIME",
  },
];

describeRows("chains", ROWS);
