/** Services as callers, and callers that a service speaks for: their grants, and AWS managed keys. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JsonObject } from "../../../mock/aws/json.ts";
import type { AuthenticatedCaller } from "../../../mock/aws/service.ts";
import { arnOf, keyPolicy, OWNER } from "../testbed.ts";
import { type BareKms, DAY_MS, openBareKms, outcome } from "./bed.ts";

describe("services and their grants", () => {
  let kms: BareKms;
  beforeAll(() => {
    kms = openBareKms();
  });
  afterAll(() => kms[Symbol.asyncDispose]());
  const service = (sourceArn: string): AuthenticatedCaller => ({
    ...kms.caller("admin"),
    ...{ accountId: "000000000000", type: "service", name: "logs.amazonaws.com", identityPolicies: [] },
    context: new Map([["aws:sourcearn", [sourceArn]]]),
  });
  const ask = (caller: AuthenticatedCaller, operation: string, input: JsonObject): Promise<JsonObject> =>
    kms.call(caller, operation, input);

  test("a service's grant holds for its source, and is listed as a service's", async () => {
    const created = (await ask(kms.caller("admin"), "CreateKey", {})) as { KeyMetadata: { Arn: string } };
    const KeyId = created.KeyMetadata.Arn;
    const SourceArn = `arn:aws:logs:eu-central-1:${OWNER}:log-group:a`;
    const services = { GranteeServicePrincipal: "logs.amazonaws.com", RetiringServicePrincipal: "logs.amazonaws.com" };
    const grant = { KeyId, ...services, Operations: ["Encrypt", "RetireGrant"], Constraints: { SourceArn } };
    const { GrantToken = "" } = await ask(kms.caller("admin"), "CreateGrant", grant);
    const encrypt = { KeyId, Plaintext: "eA==" };
    await ask(service(SourceArn), "Encrypt", encrypt);
    expect(await outcome(ask(service(`${SourceArn}b`), "Encrypt", encrypt))).toBe("AccessDeniedException");
    const { Grants } = await ask(kms.caller("admin"), "ListGrants", { KeyId });
    expect(Grants).toMatchObject([services]);
    const { Grants: retirable } = await ask(service(SourceArn), "ListRetirableGrants", {
      RetiringServicePrincipal: "logs.amazonaws.com",
    });
    expect(retirable).toHaveLength(1);
    await ask(service(SourceArn), "RetireGrant", { GrantToken });
    expect(await outcome(ask(service(SourceArn), "Encrypt", encrypt))).toBe("AccessDeniedException");
  });

  test("kms:GrantIsForAWSResource says whether a service asks, not whose grant it is", async () => {
    const Condition = { Bool: { "kms:GrantIsForAWSResource": "true" } };
    const Policy = keyPolicy({
      Effect: "Allow",
      Principal: { AWS: arnOf("bare") },
      Action: ["kms:CreateGrant", "kms:RevokeGrant", "kms:ListGrants"],
      Resource: "*",
      Condition,
    });
    const created = (await ask(kms.caller("admin"), "CreateKey", { Policy })) as { KeyMetadata: { Arn: string } };
    const KeyId = created.KeyMetadata.Arn;
    const grant = { KeyId, GranteePrincipal: arnOf("enclave"), Operations: ["Decrypt"] };
    const via = { ...kms.caller("bare"), viaService: "ec2.eu-central-1.amazonaws.com" };
    expect(await outcome(ask(kms.caller("bare"), "CreateGrant", grant))).toBe("AccessDeniedException");
    const { GrantId = "" } = await ask(via, "CreateGrant", grant);
    expect(await outcome(ask(kms.caller("bare"), "ListGrants", { KeyId }))).toBe("AccessDeniedException");
    await ask(via, "ListGrants", { KeyId });
    expect(await outcome(ask(kms.caller("bare"), "RevokeGrant", { KeyId, GrantId }))).toBe("AccessDeniedException");
    await ask(via, "RevokeGrant", { KeyId, GrantId });
  });
});

describe("AWS managed keys", () => {
  const via = (bed: BareKms, service: string): AuthenticatedCaller => ({
    ...bed.caller("admin"),
    viaService: `${service}.eu-central-1.amazonaws.com`,
  });
  const describeKey = { KeyId: "alias/aws/s3" };
  const encrypt = { KeyId: "alias/aws/s3", Plaintext: "eA==" };
  interface Described {
    readonly KeyMetadata: { readonly Arn: string; readonly KeyManager: string; readonly CurrentKeyMaterialId: string };
  }

  test("DescribeKey makes one, for who may; nothing else does", async () => {
    await using bed = openBareKms();
    const aliases = async () => {
      const { Aliases } = await bed.call(bed.caller("admin"), "ListAliases", {});
      return (Aliases as { AliasName: string; TargetKeyId?: string }[]).find(
        ({ AliasName }) => AliasName === "alias/aws/s3",
      );
    };
    expect(await aliases()).toEqual({ AliasName: "alias/aws/s3", AliasArn: expect.any(String) as string });
    expect(await outcome(bed.call(bed.caller("admin"), "Encrypt", encrypt))).toBe("NotFoundException");
    expect(await outcome(bed.call(bed.caller("bare"), "DescribeKey", describeKey))).toBe("AccessDeniedException");
    expect((await aliases())?.TargetKeyId).toBeUndefined();
    const { KeyMetadata } = (await bed.call(bed.caller("admin"), "DescribeKey", describeKey)) as unknown as Described;
    expect(KeyMetadata.KeyManager).toBe("AWS");
    expect((await aliases())?.TargetKeyId).toBe(KeyMetadata.Arn.split("/")[1]);
    expect(await outcome(bed.call(bed.caller("admin"), "DescribeKey", { KeyId: "alias/aws/none" }))).toBe(
      "NotFoundException",
    );
  });

  test("it is used through its service, by the account that has it, and changed by nobody", async () => {
    await using bed = openBareKms();
    await bed.call(bed.caller("admin"), "DescribeKey", describeKey);
    await bed.call(via(bed, "s3"), "Encrypt", encrypt);
    for (const caller of [bed.caller("admin"), via(bed, "sqs")])
      expect(await outcome(bed.call(caller, "Encrypt", encrypt))).toBe("AccessDeniedException");
    const { KeyMetadata } = (await bed.call(bed.caller("admin"), "DescribeKey", describeKey)) as unknown as Described;
    const KeyId = KeyMetadata.Arn;
    const partner = { ...bed.caller("partner"), viaService: "s3.eu-central-1.amazonaws.com" };
    expect(await outcome(bed.call(partner, "Encrypt", { ...encrypt, KeyId }))).toBe("AccessDeniedException");
    for (const operation of ["DisableKey", "ScheduleKeyDeletion", "DisableKeyRotation", "RotateKeyOnDemand"])
      expect(await outcome(bed.call(bed.caller("admin"), operation, { KeyId }))).toBe("AccessDeniedException");
    const alias = { AliasName: "alias/mine", TargetKeyId: KeyId };
    expect(await outcome(bed.call(bed.caller("admin"), "CreateAlias", alias))).toBe("AccessDeniedException");
  });

  test("EBS calls KMS as EC2", async () => {
    await using bed = openBareKms();
    await bed.call(bed.caller("admin"), "DescribeKey", { KeyId: "alias/aws/ebs" });
    const asked = { KeyId: "alias/aws/ebs", Plaintext: "eA==" };
    await bed.call(via(bed, "ec2"), "Encrypt", asked);
    expect(await outcome(bed.call(via(bed, "ebs"), "Encrypt", asked))).toBe("AccessDeniedException");
  });

  test("it rotates every year by itself, also while nobody looks", async () => {
    await using bed = openBareKms();
    const look = async () =>
      ((await bed.call(bed.caller("admin"), "DescribeKey", describeKey)) as unknown as Described).KeyMetadata;
    const first = await look();
    const { CiphertextBlob = null } = await bed.call(via(bed, "s3"), "Encrypt", encrypt);
    bed.at = 365 * DAY_MS - 1;
    expect((await look()).CurrentKeyMaterialId).toBe(first.CurrentKeyMaterialId);
    bed.at = 3 * 365 * DAY_MS;
    const { Rotations } = await bed.call(bed.caller("admin"), "ListKeyRotations", { KeyId: first.Arn });
    expect(Rotations).toHaveLength(3);
    const opened = await bed.call(via(bed, "s3"), "Decrypt", { CiphertextBlob });
    expect(opened).toMatchObject({ Plaintext: "eA==", KeyMaterialId: first.CurrentKeyMaterialId });
    const status = await bed.call(bed.caller("admin"), "GetKeyRotationStatus", { KeyId: first.Arn });
    expect(status).toMatchObject({ KeyRotationEnabled: true, RotationPeriodInDays: 365 });
  });
});
