/**
 * One KMS call on its way through the steps that every operation shares, leaving its trace in the audit.
 *
 *   resolve the key → authorize → usage and state, which the operation asks for
 *
 * @module
 */
import { AwsFault } from "../fault.ts";
import type { Decision } from "../iam/authorize.ts";
import type { ServiceCall } from "../service.ts";
import type { Audit } from "../trail.ts";
import {
  type AuthorizationOptions,
  decide,
  decideByIdentity,
  denied,
  deniedAbroad,
  type NamedKey,
  type PlannedKey,
} from "./authorization.ts";
import type { RequestFacts } from "./context.ts";
import { tokenDigest } from "./grants.ts";
import {
  accountOf,
  aliasNotFound,
  type Identifier,
  invalidKeyId,
  keyNotFound,
  readIdentifier,
  type Scope,
} from "./identifiers.ts";
import { assertState, type KeySituation, type RefusedStates } from "./key-state.ts";
import type { Keys } from "./keys.ts";
import { draftManagedKey, keepManagedKey } from "./managed-keys.ts";
import { quotaOf, type Spending } from "./quotas.ts";
import type { KeyRow, KmsTables } from "./rows.ts";
import type { KmsState } from "./state.ts";
import type { KeyRequest } from "./stores/backend.ts";

export type { AuthorizationOptions, NamedKey } from "./authorization.ts";

/** The model's KeyLastUsageTrackingOperation. */
const TRACKED: ReadonlySet<string> = new Set([
  ...["Decrypt", "DeriveSharedSecret", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair"],
  ...["GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac", "ReEncrypt"],
  ...["Sign", "Verify", "VerifyMac"],
]);

export class KmsRequest {
  readonly call: ServiceCall;
  readonly audit: Audit;
  readonly state: KmsState;
  readonly keys: Keys;
  readonly tables: KmsTables;
  readonly scope: Scope;
  readonly now: Date;
  #isSpent = false;
  /** ARNs of the keys that this call was let at. */
  readonly #used = new Set<string>();

  constructor(call: ServiceCall, audit: Audit, state: KmsState) {
    this.call = call;
    this.audit = audit;
    this.state = state;
    this.keys = state.keys;
    this.tables = state.keys.tables;
    this.scope = { partition: call.caller.partition, accountId: call.caller.accountId, region: call.region };
    this.now = call.now;
  }

  /**
   * For operations that take key ids and key ARNs, not aliases. `action` if it is not called as the operation is.
   *
   * @throws {AwsFault} there is no such key; of another account's, `AccessDeniedException`
   */
  key(keyId: string | undefined, action: string = this.call.operation): NamedKey {
    const identifier = readIdentifier(keyId ?? "", this.scope);
    if (identifier.kind === "alias") throw invalidKeyId(keyId ?? "");
    return this.#known(identifier, this.keys.find(identifier.arn, this.now), action);
  }

  /** For operations that take aliases as well. @throws {AwsFault} as `key` */
  keyOrAlias(keyId: string | undefined, action: string = this.call.operation): NamedKey {
    const identifier = readIdentifier(keyId ?? "", this.scope);
    if (identifier.kind === "key") return this.key(keyId, action);
    const alias = this.tables.aliases.get(identifier.arn);
    const target = alias && this.keys.find(alias.targetKey, this.now);
    const makesManaged = this.call.operation === "DescribeKey" || this.call.caller.viaService !== undefined;
    const draft = alias || !makesManaged ? undefined : draftManagedKey(this, identifier);
    const known = this.#known(identifier, target ?? draft, action);
    const named = { ...known, requestAlias: identifier.name, shownAs: identifier.arn };
    return draft ? { ...named, isDraft: true } : named;
  }

  #known(identifier: Identifier, found: KeySituation | undefined, action: string): KeySituation {
    if (found) return this.use(found);
    const { arn, kind } = identifier;
    const owner = accountOf(arn);
    if (this.#isOwn(owner)) throw kind === "key" ? keyNotFound(arn) : aliasNotFound(arn);
    if (kind === "key") this.audit.resource = { accountId: owner, type: "AWS::KMS::Key", ARN: arn };
    throw deniedAbroad(this, action, arn);
  }

  /** A service belongs to every account. */
  #isOwn(accountId: string): boolean {
    return accountId === this.scope.accountId || this.call.caller.type === "service";
  }

  /** Notes the key as this call's resource. */
  use<Situation extends KeySituation>(situation: Situation): Situation {
    const { accountId, arn } = situation.key;
    this.audit.resource = { accountId, type: "AWS::KMS::Key", ARN: arn };
    return situation;
  }

  /** @throws {AwsFault} `AccessDeniedException`, `InvalidGrantTokenException` */
  authorize(action: string, named: NamedKey, options: AuthorizationOptions = {}): void {
    const { key } = named;
    this.spend({ key });
    const isOwn = this.#isOwn(key.accountId);
    if (isOwn) this.#assertTokens(options.grantTokens);
    const decision = this.decide(action, named, options);
    this.audit.decision = decision;
    const isOffered = isOwn || !options.ownAccountOnly;
    if (decision.outcome !== "allowed" || !isOffered) throw this.deniedOn(action, named, decision.because);
    if (!isOwn) this.#assertTokens(options.grantTokens);
    if (named.isDraft) keepManagedKey(this.keys, named, named.requestAlias ?? "");
    this.#used.add(key.arn);
  }

  /** For what hangs on no key, or on one that is not there yet: the caller's own policies decide. */
  authorizeByIdentity(action: string, resource: string, facts: RequestFacts = {}, planned?: PlannedKey): void {
    const decision = decideByIdentity(this, action, resource, { facts, planned });
    this.audit.decision = decision;
    if (decision.outcome === "allowed") return;
    const { because } = decision;
    throw denied(this.call, resource === "*" ? { action, because } : { action, resource, because });
  }

  /** Evaluates without throwing. */
  decide(action: string, named: NamedKey, options: AuthorizationOptions): Decision {
    return decide(this, action, named, options);
  }

  /** The denial of a key that is there. */
  deniedOn(action: string, { key, shownAs = key.arn }: NamedKey, because: string): AwsFault {
    if (!this.#isOwn(key.accountId)) return deniedAbroad(this, action, shownAs);
    return denied(this.call, { action, resource: key.arn, because });
  }

  /** @throws {AwsFault} `DisabledException`, `KMSInvalidStateException` */
  assertState(situation: KeySituation, refused: RefusedStates): void {
    assertState(situation, this.now, refused);
  }

  /** @throws {AwsFault} `InvalidKeyUsageException` */
  assertUsage({ arn, usage }: KeyRow, wanted: KeyRow["usage"]): void {
    if (usage !== wanted)
      throw new AwsFault(
        "InvalidKeyUsageException",
        `${arn} key usage is ${usage} which is not valid for ${this.call.operation}.`,
      );
  }

  /** Counts the call against its quota, once: as soon as it is known which that is. @throws {AwsFault} `ThrottlingException` */
  spend(known: Omit<Spending, "operation">): void {
    if (this.#isSpent) return;
    const name = quotaOf({ operation: this.call.operation, ...known });
    if (name === undefined) return;
    this.#isSpent = true;
    this.state.quotas.spend(name, this.scope, this.now);
  }

  /** A cryptographic operation that succeeded is the last use of each of its keys; a dry run is none. */
  noteUsage(): void {
    const { operation, requestId } = this.call;
    if (!TRACKED.has(operation)) return;
    for (const arn of this.#used)
      if (this.tables.keys.has(arn)) this.state.usage.set(arn, { operation, at: this.now, requestId });
  }

  /** What an external key manager is told. */
  storeRequest({ arn }: KeyRow): KeyRequest {
    const { caller, operation, requestId } = this.call;
    const via = caller.viaService === undefined ? {} : { viaService: caller.viaService };
    return { operation, requestId, kmsKeyArn: arn, principalArn: caller.principalArn, ...via };
  }

  #assertTokens(tokens: readonly string[] = []): void {
    for (const token of tokens)
      if (!this.tables.grants.find("token", tokenDigest(token))) throw new AwsFault("InvalidGrantTokenException");
  }
}

/** A dry run that would have succeeded fails all the same, in KMS's way; always the last step. */
export function endDryRun({ DryRun: dryRun }: { readonly DryRun?: boolean | undefined }): void {
  if (dryRun)
    throw new AwsFault("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.");
}
