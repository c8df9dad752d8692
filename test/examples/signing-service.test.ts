/** The signing service, by the command of its README, and the key policies of examples. */
import { describe, expect, test } from "vitest";
import { releasePolicy } from "../../examples/run/release-policy.ts";
import { linesOf, tell } from "./readme.ts";

describe("the signing service", () => {
  test("runs from its folder by its README's command, and all of its story holds", async () => {
    const { code, held, steps, text } = await tell("signing-service");
    expect({ code, held }, text).toEqual({ code: 0, held: steps });
    expect(steps).toBe(10);
  }, 120_000);

  test("is under 150 lines", () => expect(linesOf("signing-service")).toBeLessThan(150));
});

describe("the key policy of an example", () => {
  const role = (name: string): string => `arn:aws:iam::111122223333:role/${name}`;
  const registers = { 0: "01".repeat(48), 1: "02".repeat(48), 2: "03".repeat(48) };
  const roles = { administrator: role("a"), owner: role("o"), enclaveRole: role("e") };
  const enclaveMay = ["kms:Decrypt", "kms:GenerateDataKeyPair"];
  const denied = (named: object): readonly unknown[] =>
    releasePolicy({ ...roles, enclaveMay, registers: { ...registers, ...named } })
      .Statement.filter(({ Effect, Action }) => Effect === "Deny" && Action === enclaveMay)
      .flatMap(({ Condition }) => Object.entries(Condition?.["StringNotEqualsIgnoreCase"] ?? {}));

  test("denies each operation of the enclave's where one register differs, the configuration's too", () => {
    const image = [0, 1, 2].map((index) => [`kms:RecipientAttestation:PCR${index}`, `0${index + 1}`.repeat(48)]);
    expect(denied({})).toEqual(image);
    expect(denied({ 16: "16".repeat(48) })).toEqual([...image, ["kms:RecipientAttestation:PCR16", "16".repeat(48)]]);
  });

  test("gives the owner no data key in clear", () => {
    const { Statement } = releasePolicy({ ...roles, enclaveMay, registers });
    const owners = Statement.filter(({ Effect, Principal }) => Effect === "Allow" && Principal.AWS === role("o"));
    expect(owners.flatMap(({ Action }) => Action)).toEqual(["kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"]);
  });
});
