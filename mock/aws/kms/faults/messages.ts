/**
 * Every fault of the message alone, by the row of the reference table that it stands for.
 *
 * A row with several variants has a name for each, such as `M02-version-3`; the row's id alone plays them in turn.
 *
 * @module
 */
import { CONTENT_FAULTS } from "./content.ts";
import { KEY_TRANSPORT_FAULTS } from "./key-transport.ts";
import { HonestMessage, type MessageMutation } from "./message.ts";
import { STRUCTURE_FAULTS } from "./structure.ts";

export const MESSAGE_FAULTS: ReadonlyMap<string, MessageMutation> = new Map<string, MessageMutation>(
  Object.entries({ ...STRUCTURE_FAULTS, ...KEY_TRANSPORT_FAULTS, ...CONTENT_FAULTS }).sort(([left], [right]) =>
    left < right ? -1 : 1,
  ),
);

/** The message for `publicKey` (DER SubjectPublicKeyInfo, RSA-2048) as the fault would have it. */
export function malformedMessage(
  name: string,
  { plaintext, publicKey }: { readonly plaintext: Uint8Array; readonly publicKey: Uint8Array },
): Uint8Array {
  const mutation = MESSAGE_FAULTS.get(name);
  if (!mutation) throw new RangeError(`no fault of a message is called ${name}`);
  return mutation(new HonestMessage(plaintext, publicKey));
}
