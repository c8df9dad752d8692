/**
 * Rows X18 to X20, X24 and X25: which certificate says that it was issued by which.
 */
import { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { authorityKeyId, name, oid, sequence, subjectKeyId, text, tlv } from "./der-writer.ts";
import { CHAIN, certificate, describeRows, field, ROOT, type Row, variants } from "./row.ts";

const id = (byte: number): Uint8Array => new Uint8Array(20).fill(byte);
const more = (index: number, ...extensions: Uint8Array[]): Partial<Row> =>
  certificate(index, (recipe) => void recipe.extensions.push(...extensions));

const ROWS: readonly Row[] = [
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
];

describeRows("names", ROWS);
