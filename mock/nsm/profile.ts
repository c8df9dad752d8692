/**
 * The shape of AWS's certificates for Nitro Enclaves: names, lifetimes, extensions, as data.
 *
 *   root       CA, no pathLen      30 years                   aws.nitro-enclaves
 *   regional   CA, pathLen 2       20 days, CRL address       <hex>.<region>.aws.nitro-enclaves
 *   zonal      CA, pathLen 1       5 days, CRL address        <hex>.zonal.<region>.aws.nitro-enclaves
 *   instance   CA, pathLen 0       1 day                      <instance id>.<region>.aws.nitro-enclaves
 *   leaf       no CA, key usage not critical, 3 h 3 s         <module id>.<region>.aws
 *
 * Source: the chains of 124 genuine documents.
 *
 * @module
 */
import "reflect-metadata";
import { KeyUsageFlags, Name } from "@peculiar/x509";

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const DAY_MS = 24 * HOUR_MS;

export const LEAF_LIFE_MS: number = 3 * HOUR_MS + 3 * SECOND_MS;
// AWS's own root has these dates; within them every realistic clock is valid.
export const ROOT_NOT_BEFORE: Date = new Date("2019-10-28T13:28:05Z");
export const ROOT_NOT_AFTER: Date = new Date("2049-10-28T14:28:05Z");
export const CA_USAGES: number = KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign;
export const LEAF_USAGES: number = KeyUsageFlags.digitalSignature | KeyUsageFlags.nonRepudiation;

/** An authority between the root and the leaves. */
export interface Level {
  /** @param hex the authority's own random name */
  readonly subject: (hex: string) => Name;
  readonly pathLength: number;
  readonly lifeMs: number;
  /** How long before it was needed it seems to have been issued. */
  readonly agedMs: number;
  readonly usages: number;
  readonly crl: boolean;
}

type Attributes = readonly (readonly [type: string, value: string])[];

const AWS: Attributes = [
  ["C", "US"],
  ["O", "Amazon"],
  ["OU", "AWS"],
];
const SEATTLE: Attributes = [
  ["C", "US"],
  ["ST", "Washington"],
  ["L", "Seattle"],
  ["O", "Amazon"],
  ["OU", "AWS"],
];

/** A distinguished name with AWS's string types: the country printable, all else UTF-8. */
function nameOf(attributes: Attributes): Name {
  return new Name(
    attributes.map(([type, value]) => ({
      [type]: [type === "C" ? { printableString: value } : { utf8String: value }],
    })),
  );
}

export function rootSubject(): Name {
  return nameOf([...AWS, ["CN", "aws.nitro-enclaves"]]);
}

export function leafSubject(moduleId: string, region: string): Name {
  return nameOf([...SEATTLE, ["CN", `${moduleId}.${region}.aws`]]);
}

/** Regional, zonal, instance. */
export function levelsOf(region: string, instanceId: string): readonly Level[] {
  return [
    {
      subject: (hex) => nameOf([...AWS, ["CN", `${hex}.${region}.aws.nitro-enclaves`]]),
      pathLength: 2,
      lifeMs: 20 * DAY_MS + HOUR_MS,
      agedMs: 2 * DAY_MS,
      usages: CA_USAGES,
      crl: true,
    },
    {
      subject: (hex) =>
        nameOf([
          ["CN", `${hex}.zonal.${region}.aws.nitro-enclaves`],
          ["OU", "AWS"],
          ["O", "Amazon"],
          ["C", "US"],
          ["ST", "WA"],
          ["L", "Seattle"],
        ]),
      pathLength: 1,
      lifeMs: 5 * DAY_MS + 20 * HOUR_MS,
      agedMs: 12 * HOUR_MS,
      usages: CA_USAGES,
      crl: true,
    },
    {
      subject: () => nameOf([...SEATTLE, ["CN", `${instanceId}.${region}.aws.nitro-enclaves`]]),
      pathLength: 0,
      lifeMs: DAY_MS,
      agedMs: 60 * SECOND_MS,
      usages: KeyUsageFlags.keyCertSign,
      crl: false,
    },
  ];
}
