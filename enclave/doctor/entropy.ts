/**
 * Whether NSM gives sound random bytes: enough, not all zero, not the same twice.
 *
 * A broken source is found this way, a hostile one is not; NSM is the hypervisor's and trusted.
 *
 * @module
 */
import { equalBytes, isAllZero } from "../../shared/bytes.ts";
import { EnclaveError } from "../../shared/errors/index.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";

const BYTES_MIN = 16;

/**
 * @throws {EnclaveError} `ERR_ENCLAVE_ENTROPY`
 */
export async function examineEntropy(nsm: Pick<NsmDevice, "getRandom">): Promise<void> {
  const first = await nsm.getRandom();
  const second = await nsm.getRandom();
  for (const bytes of [first, second]) {
    if (bytes.length < BYTES_MIN) throw refused(`NSM gives ${BYTES_MIN} bytes or more, it gave ${bytes.length}`);
    if (isAllZero(bytes)) throw refused("NSM gives bytes that are not all zero");
  }
  if (equalBytes(first, second)) throw refused("NSM gives other bytes each time");
}

function refused(rule: string): EnclaveError {
  return new EnclaveError("ERR_ENCLAVE_ENTROPY", { rule });
}
