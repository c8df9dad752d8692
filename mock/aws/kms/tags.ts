/**
 * Tags of a key, as requests write them.
 *
 * Source: KMS Developer Guide, "Tagging keys"; recorded answers for the texts.
 *
 * @module
 */
import type { Tag } from "@aws-sdk/client-kms";
import { AwsFault } from "../fault.ts";

const TAGS_MAX = 50;

/** @throws {AwsFault} `TagException` */
export function readTags(tags: readonly Tag[]): Record<string, string> {
  // An object would take `__proto__` for something else.
  const read = new Map<string, string>();
  for (const { TagKey: name = "", TagValue: value = "" } of tags) {
    if (read.has(name)) throw tagFault("Duplicate tag keys");
    if (/^aws:/i.test(name)) throw tagFault("Tags beginning with aws: are reserved");
    read.set(name, value);
  }
  const tagged = Object.fromEntries(read);
  assertRoom({}, tagged);
  return tagged;
}

/** @throws {AwsFault} `TagException` */
export function assertRoom(present: Readonly<Record<string, string>>, added: Readonly<Record<string, string>>): void {
  if (Object.keys({ ...present, ...added }).length > TAGS_MAX) throw tagFault("Too many tags");
}

function tagFault(message: string): AwsFault {
  return new AwsFault("TagException", message);
}
