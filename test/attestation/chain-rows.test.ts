import { concat } from "../../shared/bytes.ts";
import { basicConstraints } from "./der-writer.ts";
import {
  CHAIN,
  certificate,
  certificates,
  describeRows,
  flip,
  hours,
  MALFORMED,
  ROOT,
  type Row,
  variants,
} from "./row.ts";
import { CERT_SIGN, type CertificateRecipe, makeChain, newKeys } from "./test-pki.ts";
import { twinCertificate } from "./twin.ts";

const stranger = await makeChain();
const strangerKeys = await newKeys();
/** Another root of the same name, and what it signed. */
const attacker = await makeChain((list) => {
  for (const recipe of list.slice(0, 1)) recipe.keys = strangerKeys;
});

const issuer = (recipe: CertificateRecipe, subject: string): CertificateRecipe => ({
  ...recipe,
  subject,
  extensions: [basicConstraints(true), CERT_SIGN],
});
/** No issuer limits the length of its path, so that this rule can not be the one that refuses. */
const unlimited = (list: CertificateRecipe[]): void => {
  for (const recipe of list.slice(0, 4)) recipe.extensions = [basicConstraints(true), CERT_SIGN];
};

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
    chain: unlimited,
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
    ...certificates(([r, ...rest]) => [r && twinCertificate(r), ...rest]),
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
  {
    id: "X06",
    why: "a self-signed leaf that names the instance's as its issuer",
    ...certificate(4, (leaf) => void Object.assign(leaf, { keys: strangerKeys, signer: strangerKeys })),
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
      certificates(([r, a, ...rest]) => [r, a, stranger.certificates[1], ...rest]),
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
  ]).map((row): Row => ({ chain: unlimited, ...row })),
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
      unlimited(list);
      const leaf = list.at(-1);
      if (leaf) list.push({ ...leaf, subject: "CN=forged", keys: strangerKeys });
    },
    expect: CHAIN,
  },
  {
    id: "X07",
    why: "the regional certificate expired and not needed is still of the chain",
    ...certificate(1, (r) => void (r.notAfter = hours(-1))),
    expect: "ERR_ATTESTATION_CERTIFICATE_TIME",
  },
];

describeRows("chains", ROWS);
