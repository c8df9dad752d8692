/**
 * Writes the key policy of an example: the toolkit's, with the operations that the example's enclave needs, and with
 * the register of the configuration where there is one.
 *
 * The owner makes data keys without seeing them, so what is released is never in clear outside.
 *
 * @module
 */
import { attestedKeyPolicy, type PolicyDocument, type PolicyStatement } from "../../shared/policy/key-policy.ts";

/** An image's registers, and PCR16 where its configuration is pinned; hex. */
export type Registers = Readonly<Record<0 | 1 | 2, string>> & { readonly 16?: string };

export interface ReleaseOptions {
  readonly administrator: string;
  readonly owner: string;
  readonly enclaveRole: string;
  readonly enclaveMay: readonly string[];
  readonly registers: Registers;
}

const OWNER_MAY = ["kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"];
const CONFIGURATION_KEY = "kms:RecipientAttestation:PCR16";

export function releasePolicy({ registers, enclaveMay, owner, ...roles }: ReleaseOptions): PolicyDocument {
  const image = { pcr0: registers[0], pcr1: registers[1], pcr2: registers[2] };
  const { Version, Statement } = attestedKeyPolicy({ ...roles, sealer: owner, image });
  const named = Statement.map((statement) => {
    if (statement.Sid === "SealData") return { ...statement, Action: OWNER_MAY };
    return statement.Action.includes("kms:Decrypt") ? { ...statement, Action: enclaveMay } : statement;
  });
  const { 16: configuration } = registers;
  return { Version, Statement: configuration === undefined ? named : [...named, pinned(configuration, enclaveMay)] };
}

function pinned(configuration: string, Action: readonly string[]): PolicyStatement {
  return {
    Sid: "NoReleaseUnlessPCR16Matches",
    Effect: "Deny",
    Principal: { AWS: "*" },
    Action,
    Resource: "*",
    Condition: { StringNotEqualsIgnoreCase: { [CONFIGURATION_KEY]: configuration } },
  };
}
