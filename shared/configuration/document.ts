/**
 * The configuration that a parent hands its enclave: one JSON document, parsed strictly, measured before it is used.
 *
 *   size       at most 64 KiB
 *   form       strict JSON (`transport/json.ts`): no key twice, no `__proto__`, a bounded depth
 *   measured   PCR16 = SHA-384( 48 zero bytes ‖ SHA-384(the document's bytes) ), then locked
 *
 * The parent chooses the document, so it decides nothing that a policy does not pin. Whoever pins PCR16 pins these bytes:
 * white space counts. It is data; nothing of it ever becomes an environment variable, an argument or code.
 *
 * @module
 */
import { EnclaveError, isTransportError } from "../errors/index.ts";
import { extendPcr, zeroPcr } from "../nsm/pcr.ts";
import { type Json, parseJson } from "../transport/json.ts";

/** The register that the document is measured into. */
export const CONFIGURATION_PCR = 16;
/** In bytes. */
export const CONFIGURATION_MAX = 65_536;
/** The one request on its port; the answer is `{"document": <base64> | null}`. */
export const CONFIGURATION_METHOD = "configuration";

/** @throws {EnclaveError} `ERR_ENCLAVE_CONFIGURATION` */
export function parseConfiguration(document: Uint8Array): Json {
  if (document.length > CONFIGURATION_MAX) throw refused(`at most ${CONFIGURATION_MAX} bytes`);
  try {
    return parseJson(document);
  } catch (error) {
    // The rule is told, the text is not: it may hold secrets.
    throw refused(isTransportError(error) && "rule" in error.details ? error.details.rule : "strict JSON");
  }
}

function refused(rule: string): EnclaveError {
  return new EnclaveError("ERR_ENCLAVE_CONFIGURATION", { rule });
}

/** SHA-384 of the document: what PCR16 is extended with. */
export async function configurationDigest(document: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-384", Uint8Array.from(document)));
}

/** The value of PCR16 in an enclave that was handed these bytes; for policies. */
export async function configurationPcr(document: Uint8Array): Promise<Uint8Array> {
  return extendPcr(zeroPcr(), await configurationDigest(document));
}
