/**
 * What an encryption context may be, whichever operation it comes with and before any policy is asked about it.
 *
 *   size    at most 8,192 bytes as KMS serializes it here: each text with a length of four bytes
 *   names   no two that are equal up to case
 *
 * Condition keys are compared without case, so of `{"dept":"hr","DEPT":"it"}` a policy sees one key with two values,
 * and any reading of that lets a Deny or an Allow be slipped by. AWS documents nothing for it; the refusal is ours.
 *
 * Source: KMS API Reference, Encrypt; KMS Developer Guide, "kms:EncryptionContext:context-key".
 *
 * @module
 */
import { validationFault } from "../fault.ts";
import type { EncryptionContext } from "./ciphertext.ts";

const CONTEXT_MAX_BYTES = 8192;
const LENGTH_BYTES = 4;
const MEMBERS = ["EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext"] as const;
const CONSTRAINTS = ["EncryptionContextEquals", "EncryptionContextSubset"] as const;

interface ContextInput extends Partial<Record<(typeof MEMBERS)[number], EncryptionContext>> {
  readonly Constraints?: Partial<Record<(typeof CONSTRAINTS)[number], EncryptionContext>>;
}

/** Checks every encryption context of a request. @throws {AwsFault} `ValidationException` */
export function assertContexts(input: ContextInput): void {
  for (const name of MEMBERS) assertContext(input[name]);
  for (const name of CONSTRAINTS) assertContext(input.Constraints?.[name]);
}

function assertContext(context: EncryptionContext | undefined): void {
  if (!context) return;
  let bytes = 0;
  const names = new Set<string>();
  for (const [name, value] of Object.entries(context)) {
    bytes += 2 * LENGTH_BYTES + Buffer.byteLength(name) + Buffer.byteLength(value);
    if (bytes > CONTEXT_MAX_BYTES)
      throw validationFault(`the encryption context has more than ${CONTEXT_MAX_BYTES} bytes`);
    const folded = name.toLowerCase();
    if (names.has(folded)) throw validationFault("the encryption context has two names that are equal up to case");
    names.add(folded);
  }
}
