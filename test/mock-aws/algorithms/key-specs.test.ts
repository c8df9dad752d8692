import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  algorithmMembers,
  isAsymmetric,
  isKeySpec,
  KEY_SPECS,
  type KeySpec,
  type KeyUsage,
} from "../../../mock/aws/kms/algorithms/index.ts";
import { hasVectors, vectorsPath } from "../../vectors.ts";

const SPECS = Object.keys(KEY_SPECS).filter(isKeySpec);

/** KeyMetadata in the recorded answers: objects that name a KeySpec and a KeyUsage. */
function recordedMetadata(): Readonly<Record<string, unknown>>[] {
  const found: Record<string, unknown>[] = [];
  JSON.parse(readFileSync(vectorsPath("aws/recorded/ls-kms-snap.json"), "utf8"), (_key, value: unknown) => {
    if (typeof value === "object" && value !== null && "KeySpec" in value && "KeyUsage" in value)
      found.push({ ...value });
    return value;
  });
  return found;
}

describe("the table of key specs", () => {
  test("has the 17 specs of the service model and no other", () => {
    expect(SPECS).toHaveLength(17);
    expect(isKeySpec("RSA_1024")).toBe(false);
    expect(isKeySpec("toString")).toBe(false);
  });

  test("only SYMMETRIC_DEFAULT has a default usage", () => {
    expect(SPECS.filter((spec) => KEY_SPECS[spec].defaultUsage)).toEqual(["SYMMETRIC_DEFAULT"]);
  });

  test.each(SPECS)("%s has algorithms for its usages, and for no other", (spec) => {
    const usages: KeyUsage[] = ["ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"];
    const withAlgorithms = usages.filter((usage) =>
      Object.values(algorithmMembers(spec, usage)).some((list) => list.length > 0),
    );
    expect(withAlgorithms).toEqual(usages.filter((usage) => KEY_SPECS[spec].usages.includes(usage)));
  });

  test("symmetric and HMAC keys are not pairs, all others are", () => {
    const single = ["SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"];
    expect(SPECS.filter((spec) => !isAsymmetric(spec))).toEqual(expect.arrayContaining(single));
    expect(SPECS.filter(isAsymmetric)).toHaveLength(SPECS.length - single.length);
  });

  // As CreateKey's example in the API Reference has it; no recorded answer holds this list.
  test("RSA's signing algorithms come PKCS #1 first, by hash", () => {
    const bySize = (name: string): string[] => [256, 384, 512].map((bits) => `${name}_SHA_${bits}`);
    const expected = [...bySize("RSASSA_PKCS1_V1_5"), ...bySize("RSASSA_PSS")];
    expect(algorithmMembers("RSA_4096", "SIGN_VERIFY")).toEqual({ SigningAlgorithms: expected });
  });

  test.skipIf(!hasVectors)("lists algorithms as the recorded answers do (skipped without CLOISTER_VECTORS)", () => {
    const recorded = recordedMetadata();
    expect(recorded.length).toBeGreaterThan(50);
    for (const metadata of recorded) {
      const members = algorithmMembers(metadata["KeySpec"] as KeySpec, metadata["KeyUsage"] as KeyUsage);
      expect(metadata).toMatchObject(members);
    }
  });
});
