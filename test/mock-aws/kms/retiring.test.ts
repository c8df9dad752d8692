/** Grants: listed, retired, revoked, and by whom. */
import { describe, expect, test } from "vitest";
import { arnOf, keyPolicy, OTHER, OWNER } from "../testbed.ts";
import { bedOfFile, outcome, present } from "./bed.ts";

const { admin, as, bare, newKey } = bedOfFile();
const BARE = { GranteePrincipal: arnOf("bare") };

describe("lists, retiring, revoking", () => {
  test("lists name what was granted, in pages, and never the token", async () => {
    const KeyId = await newKey();
    const RetiringPrincipal = arnOf("enclave");
    for (const Name of ["a", "b", "c"])
      await admin().createGrant({ KeyId, ...BARE, RetiringPrincipal, Name, Operations: ["Decrypt"] });
    const first = await admin().listGrants({ KeyId, Limit: 2 });
    const second = await admin().listGrants({ KeyId, Limit: 2, Marker: first.NextMarker });
    const all = [...present(first.Grants), ...present(second.Grants)];
    expect(all.map(({ Name }) => Name).sort()).toEqual(["a", "b", "c"]);
    expect(all[0]).toMatchObject({
      ...{ KeyId, ...BARE, RetiringPrincipal, Operations: ["Decrypt"] },
      IssuingAccount: `arn:aws:iam::${OWNER}:root`,
    });
    expect(JSON.stringify(all)).not.toContain("oken");
    const GrantId = all[0]?.GrantId;
    expect((await admin().listGrants({ KeyId, GrantId })).Grants?.length).toBe(1);
    expect((await admin().listGrants({ KeyId, GranteePrincipal: arnOf("admin") })).Grants).toEqual([]);
    const mine = (await admin().listRetirableGrants({ RetiringPrincipal })).Grants?.filter(
      (grant) => grant.KeyId === KeyId,
    );
    expect(mine?.length).toBe(3);
    expect((await admin("us-east-1").listRetirableGrants({ RetiringPrincipal })).Grants).toEqual([]);
    expect((await as("partner").listRetirableGrants({ RetiringPrincipal })).Grants).toEqual([]);
  });

  test.each([
    ["the retiring principal", { RetiringPrincipal: arnOf("bare"), Operations: ["Decrypt"] }, "bare", "ok"],
    ["a grantee that may", { ...BARE, Operations: ["Decrypt", "RetireGrant"] }, "bare", "ok"],
    ["a grantee that may not", { ...BARE, Operations: ["Decrypt"] }, "bare", "no"],
    ["the issuing account, by identity policy", { ...BARE, Operations: ["Decrypt"] }, "admin", "ok"],
    [
      "nobody in a retiring account without permission",
      { RetiringPrincipal: `arn:aws:iam::${OWNER}:root`, Operations: ["Decrypt"] },
      "bare",
      "no",
    ],
    ["nobody else in it", { ...BARE, Operations: ["Decrypt", "RetireGrant"] }, "enclave", "no"],
    ["no other account", { ...BARE, Operations: ["Decrypt"] }, "partner", "no"],
    [
      "a retiring account's principal with permission",
      { RetiringPrincipal: `arn:aws:iam::${OTHER}:root`, Operations: ["Decrypt"] },
      "partner",
      "ok",
    ],
  ] as const)("a grant is retired by %s", async (_why, grant, who, wanted) => {
    const open = {
      Effect: "Allow",
      Principal: { AWS: [arnOf("bare"), arnOf("enclave"), arnOf("partner")] },
      Action: "kms:RetireGrant",
      Resource: "*",
    };
    const KeyId = await newKey({ Policy: keyPolicy(open) });
    const { GrantId } = await admin().createGrant({
      KeyId,
      GranteePrincipal: arnOf("enclave"),
      ...(grant as object),
      Operations: [...grant.Operations],
    });
    // Another grant of the caller's does not help.
    await admin().createGrant({ KeyId, GranteePrincipal: arnOf("enclave"), Operations: ["RetireGrant", "Encrypt"] });
    const found = await outcome(as(who).retireGrant({ KeyId, GrantId }));
    expect(found).toBe(wanted === "ok" ? "ok" : "AccessDeniedException");
    const left = (await admin().listGrants({ KeyId, GrantId })).Grants?.length;
    expect(left).toBe(wanted === "ok" ? 0 : 1);
  });

  test("K43: dry runs retire and revoke nothing; a Deny stands against retiring", async () => {
    const KeyId = await newKey();
    const { GrantId, GrantToken } = await admin().createGrant({ KeyId, ...BARE, Operations: ["RetireGrant"] });
    expect(await outcome(bare().retireGrant({ GrantToken, DryRun: true }))).toBe("DryRunOperationException");
    expect(await outcome(admin().revokeGrant({ KeyId, GrantId, DryRun: true }))).toBe("DryRunOperationException");
    expect(await outcome(bare().retireGrant({ GrantToken, GrantId }))).toBe("ValidationException");
    const deny = { Effect: "Deny", Principal: "*", Action: "kms:RetireGrant", Resource: "*" };
    await admin().putKeyPolicy({ KeyId, Policy: keyPolicy(deny) });
    expect(await outcome(bare().retireGrant({ GrantToken }))).toBe("AccessDeniedException");
    expect((await admin().listGrants({ KeyId })).Grants?.length).toBe(1);
  });
});
