/**
 * Credentials go to peers that are named, and to nobody else.
 *
 * Any process of the instance and any enclave on it can dial vsock. A transport may have a list of its own; for
 * credentials it is not relied on.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { Address } from "../../shared/transport/address.ts";

/** @throws {ConfigError} the address is one of vsock and no context id is named */
export function checkNamedPeers(address: Address, allowedCids: readonly number[] | undefined): void {
  if (address.kind !== "vsock" || (Array.isArray(allowedCids) && allowedCids.length > 0)) return;
  const expected = "the context ids that are served, one or more";
  throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "allowedCids", expected });
}
