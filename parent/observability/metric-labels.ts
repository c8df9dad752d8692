/**
 * Decides which label values metrics may carry: closed sets only, so that no peer can make series grow.
 *
 * A code is one of this toolkit's, of the system's, or of the resolver's; everything else counts as `other`, and none
 * at all as `none`. Targets, connection ids and context ids are never labels.
 *
 * @module
 */
import { constants } from "node:os";
import { ERROR_CODES } from "../../shared/errors/index.ts";
import type { Service } from "./observe.ts";

/** Codes of `node:dns`, and what `dial` gives as a reason. */
const NAMING_CODES = [
  "EAI_AGAIN",
  "EAI_FAIL",
  "EAI_NODATA",
  "EAI_NONAME",
  "ECANCELLED",
  "EFORMERR",
  "ENODATA",
  "ENOTFOUND",
  "ENOTIMP",
  "EREFUSED",
  "ESERVFAIL",
  "ETIMEOUT",
  "ADDRESS_NOT_PERMITTED",
] as const;

const CODES: ReadonlySet<string> = new Set([
  ...Object.keys(ERROR_CODES),
  ...Object.keys(constants.errno),
  ...NAMING_CODES,
  "ERR_UNSPECIFIED",
  "ERR_INTERNAL",
]);

export const SERVICES: readonly Service[] = ["egress", "credentials", "configuration", "log", "ingress"];

export function codeLabel(code: string | undefined): string {
  if (code === undefined) return "none";
  return CODES.has(code) ? code : "other";
}

export function serviceLabel(service: string): string {
  return service === "parent" ? service : (SERVICES.find((known) => known === service) ?? "other");
}
