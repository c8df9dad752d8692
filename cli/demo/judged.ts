/**
 * Why KMS refused: it tells its callers little, by design; the emulator's own record says which check it was.
 *
 * @module
 */
import { RemoteError } from "../../shared/errors/index.ts";
import type { Scene } from "./scene.ts";

interface Explanation {
  readonly summary: string;
  readonly attestation: { readonly kind: string; readonly code?: string; readonly reason?: string };
}

/** Runs an attempt; a refusal by KMS comes back as the check that refused. */
export async function judged({ world }: Scene, attempt: () => Promise<unknown>): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "ERR_KMS_ACCESS_DENIED" && code !== "ERR_KMS_REFUSED") throw error;
    const records = await world.aws.call<readonly { explanation: Explanation }[]>("trail");
    const { attestation, summary } = records.at(-1)?.explanation ?? { attestation: { kind: "none" }, summary: "" };
    const refusedBy = attestation.kind === "refused" ? attestation.code : code;
    throw new RemoteError(refusedBy ?? code, "refused by policy", attestation.reason ?? summary, {});
  }
}
