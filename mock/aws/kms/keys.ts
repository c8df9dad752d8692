/**
 * The KMS keys of every account and Region: made, found, and kept up with time.
 *
 * What the calendar decides (a deletion window that closes, a rotation that is due) happens when a key is next looked
 * at, as of the time it was due. A ciphertext names its material by an identifier that only the emulator that made it
 * can compute, so a blob of another emulator is nothing here.
 *
 * Source: KMS Developer Guide, "Rotating keys", "Deleting keys", "Multi-Region keys", "Resource quotas".
 *
 * @module
 */
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { toHex } from "../../../shared/bytes.ts";
import { AwsFault } from "../fault.ts";
import { keyArn, type Scope } from "./identifiers.ts";
import type { KeySituation } from "./key-state.ts";
import { type FamilyRow, identifierKey, type KeyRow, type KmsTables, type MaterialRow, scopeKey } from "./rows.ts";

const DAY_MS = 86_400_000;
/** Rotations that one look makes up for; the next look goes on. A clock that leaps by centuries owes thousands. */
const DUE_MAX = 1_000;
/** Whatever their state. */
const KEYS_MAX = 100_000;

export interface NewKey
  extends Pick<KeyRow, "spec" | "usage" | "origin" | "description" | "policy" | "tags" | "manager" | "multiRegion"> {
  readonly keyStore?: KeyRow["keyStore"] | undefined;
  readonly scope: Scope;
  readonly now: Date;
  readonly keyId?: string;
  /** Absent for EXTERNAL. */
  readonly material?: Uint8Array | undefined;
}

export interface KeyUse {
  readonly operation: string;
  readonly at: Date;
  readonly requestId: string;
}

export function newKeyId(multiRegion: boolean): string {
  return multiRegion ? `mrk-${toHex(randomBytes(16))}` : randomUUID();
}

/** A material and the key of this Region that holds it. */
export interface MaterialInUse {
  readonly situation: KeySituation;
  readonly material: MaterialRow;
}

type Rotation = NonNullable<MaterialRow["rotation"]>;

/** When an automatic rotation was due that has not happened. */
export function rotationDue({ rotation }: FamilyRow, now: Date): Date | undefined {
  return rotation.enabled && rotation.nextAt && rotation.nextAt <= now ? rotation.nextAt : undefined;
}

export class Keys {
  readonly tables: KmsTables;
  /** The last cryptographic use of each key that is there, by ARN. */
  readonly usage: Map<string, KeyUse> = new Map();
  readonly #secret: Uint8Array;

  /** `secret`: 32 bytes that ciphertexts of this emulator are known by. */
  constructor(tables: KmsTables, secret: Uint8Array) {
    this.tables = tables;
    this.#secret = secret;
  }

  /** A key that is in no table yet; `keep` puts it there. */
  draft(options: NewKey): KeySituation {
    const { scope, now, material, multiRegion, keyStore, keyId = newKeyId(multiRegion), ...rest } = options;
    const arn = keyArn(scope, keyId);
    const { partition, accountId, region } = scope;
    const familyId = multiRegion ? `${partition}:${accountId}:${keyId}` : arn;
    const first = material && this.newMaterial(familyId, material, now);
    return {
      key: {
        ...{ arn, partition, accountId, region, keyId, familyId, multiRegion, ...rest },
        ...(keyStore ? { keyStore } : {}),
        createdAt: now,
        enabled: true,
        imported: {},
      },
      family: {
        id: familyId,
        primaryRegion: region,
        materials: first ? [first] : [],
        ...(first ? { currentMaterialId: first.id } : {}),
        rotation: { enabled: false, periodDays: 365, onDemandCount: 0 },
      },
    };
  }

  keep({ key, family }: KeySituation): void {
    this.tables.families.set(family.id, family);
    this.tables.keys.set(key.arn, key);
  }

  /** The same bytes have the same id in one key, and another in every other. */
  importedMaterialId(familyId: string, bytes: Uint8Array): string {
    return createHmac("sha256", this.#secret).update(`imported ${familyId} `).update(bytes).digest("hex");
  }

  newMaterial(familyId: string, bytes: Uint8Array, now: Date, id: string = toHex(randomBytes(32))): MaterialRow {
    const identifier = Uint8Array.from(createHmac("sha256", this.#secret).update(`${familyId} ${id}`).digest());
    return { id, identifier, bytes, createdAt: now };
  }

  find(arn: string, now: Date): KeySituation | undefined {
    this.#settle(arn, now);
    const key = this.tables.keys.get(arn);
    return key && this.situationOf(key);
  }

  situationOf(key: KeyRow): KeySituation {
    const family = this.tables.families.get(key.familyId);
    if (!family) throw new TypeError(`no family of key ${key.arn}`);
    return { key, family, keyStore: key.keyStore && this.tables.keyStores.get(key.keyStore.id) };
  }

  /** @throws {AwsFault} `LimitExceededException`: the account has all the customer managed keys of the Region it may */
  assertRoom(scope: Pick<Scope, "accountId" | "region">): void {
    const { keys } = this.tables;
    if (keys.size < KEYS_MAX) return;
    const own = keys.findAll("scope", scopeKey(scope)).filter(({ manager }) => manager === "CUSTOMER");
    if (own.length >= KEYS_MAX) throw new AwsFault("LimitExceededException");
  }

  /** By ARN, as ListKeys gives them. */
  inScope(scope: Pick<Scope, "accountId" | "region">, now: Date): readonly KeySituation[] {
    const rows = this.tables.keys.findAll("scope", scopeKey(scope));
    return rows.flatMap(({ arn }) => this.find(arn, now) ?? []).sort((a, b) => (a.key.arn < b.key.arn ? -1 : 1));
  }

  /** The related keys, primary first; a single-Region key alone. */
  related(familyId: string): readonly KeyRow[] {
    const primary = this.tables.families.get(familyId)?.primaryRegion;
    const rows = this.tables.keys.findAll("family", familyId);
    return [...rows].sort((a, b) => Number(b.region === primary) - Number(a.region === primary));
  }

  /** The material that made a ciphertext, and the related key of this Region. */
  ofCiphertext(identifier: Uint8Array, region: string, now: Date): MaterialInUse | undefined {
    const family = this.tables.families.find("identifier", identifierKey(identifier));
    const row = family && this.related(family.id).find((key) => key.region === region);
    const situation = row && this.find(row.arn, now);
    const wanted = identifierKey(identifier);
    const material = situation?.family.materials.find((entry) => identifierKey(entry.identifier) === wanted);
    return situation && material && { situation, material };
  }

  update(key: KeyRow, change: Partial<KeyRow>): KeyRow {
    const updated = { ...key, ...change };
    this.tables.keys.set(key.arn, updated);
    return updated;
  }

  /** Removes a member from a key's row. */
  clear(key: KeyRow, member: "deletion" | "creatingUntil" | "updatingUntil", change: Partial<KeyRow> = {}): void {
    const { [member]: _, ...rest } = key;
    this.tables.keys.set(key.arn, { ...rest, ...change });
  }

  updateFamily(family: FamilyRow, change: Partial<FamilyRow>): FamilyRow {
    const updated = { ...family, ...change };
    this.tables.families.set(family.id, updated);
    return updated;
  }

  #settle(arn: string, now: Date): void {
    const key = this.tables.keys.get(arn);
    if (!key) return;
    // The primary last: its window opens when its last replica is gone.
    const members = key.multiRegion ? [...this.related(key.familyId)].reverse() : [key];
    for (const member of members) this.#closeWindow(member.arn, now);
    this.#rotateWhenDue(key.familyId, members.at(-1)?.arn ?? arn, now);
  }

  #closeWindow(arn: string, now: Date): void {
    const key = this.tables.keys.get(arn);
    const date = key?.deletion?.date;
    if (key && date && date <= now) this.remove(key, date);
  }

  /** Deletes a key for good, with its aliases and grants; the last of its family takes the material along. */
  remove(key: KeyRow, at: Date): void {
    const { keys, families, aliases, grants, importTokens } = this.tables;
    keys.delete(key.arn);
    this.usage.delete(key.arn);
    for (const { arn } of aliases.findAll("key", key.arn)) aliases.delete(arn);
    for (const { id } of grants.findAll("key", key.arn)) grants.delete(id);
    for (const { id } of importTokens.findAll("key", key.arn)) importTokens.delete(id);
    const [primary, ...replicas] = this.related(key.familyId);
    if (!primary) families.delete(key.familyId);
    else if (primary.deletion && !primary.deletion.date && replicas.length === 0)
      this.update(primary, {
        deletion: { ...primary.deletion, date: new Date(at.getTime() + primary.deletion.windowDays * DAY_MS) },
      });
  }

  /** The primary decides. A key that is disabled or going does not rotate. */
  #rotateWhenDue(familyId: string, primaryArn: string, now: Date): void {
    const primary = this.tables.keys.get(primaryArn);
    if (!primary?.enabled || primary.deletion) return;
    const family = this.tables.families.get(familyId);
    if (!family) return;
    const periodMs = family.rotation.periodDays * DAY_MS;
    const due: Date[] = [];
    for (let at = rotationDue(family, now); at && at <= now && due.length < DUE_MAX; at = new Date(+at + periodMs))
      due.push(at);
    if (due.length > 0)
      this.#rotateInTurn(
        family,
        due.map((at) => ({ at, type: "AUTOMATIC" })),
      );
  }

  /** Makes a fresh material the current one, and sets when the next automatic rotation is due. */
  rotate(family: FamilyRow, rotation: Rotation): FamilyRow {
    return this.#rotateInTurn(family, [rotation]);
  }

  /** All in one change: the row is written once. */
  #rotateInTurn(family: FamilyRow, rotations: readonly Rotation[]): FamilyRow {
    const made = rotations.map((rotation) => ({
      ...this.newMaterial(family.id, randomBytes(32), rotation.at),
      rotation,
    }));
    const { id: currentMaterialId } = made.at(-1) ?? {};
    const last = rotations.findLast(({ type }) => type === "AUTOMATIC");
    const nextAt = last && new Date(last.at.getTime() + family.rotation.periodDays * DAY_MS);
    return this.updateFamily(family, {
      materials: [...family.materials, ...made],
      ...(currentMaterialId === undefined ? {} : { currentMaterialId }),
      rotation: nextAt ? { ...family.rotation, nextAt } : family.rotation,
    });
  }
}
