/**
 * One KMS call on its way through the steps that every operation shares, leaving its trace in the audit.
 *
 * @module
 */
import type { Directory } from "../directory.ts";
import { AwsFault } from "../fault.ts";
import type { ServiceCall } from "../service.ts";
import type { Audit } from "../trail.ts";
import { accessDenied, decide, type RequestFacts } from "./access.ts";
import type { FaultQueue } from "./faults.ts";
import type { KeyStore, KmsKey } from "./keys.ts";
import type { RecipientRules } from "./recipient.ts";

/** What the service holds between calls. */
export interface KmsState {
  readonly keys: KeyStore;
  readonly faults: FaultQueue;
  readonly directory: Directory;
  readonly recipientRules: RecipientRules;
}

export class KmsRequest {
  readonly call: ServiceCall;
  readonly audit: Audit;
  readonly keys: KeyStore;
  readonly faults: FaultQueue;
  readonly directory: Directory;
  readonly recipientRules: RecipientRules;

  constructor(call: ServiceCall, audit: Audit, state: KmsState) {
    this.call = call;
    this.audit = audit;
    this.keys = state.keys;
    this.faults = state.faults;
    this.directory = state.directory;
    this.recipientRules = state.recipientRules;
  }

  /** @throws {AwsFault} there is no such key */
  resolve(keyId: string): KmsKey {
    return this.use(this.keys.resolve(keyId, { accountId: this.call.caller.accountId, region: this.call.region }));
  }

  /** Notes the key as this call's resource. */
  use(key: KmsKey): KmsKey {
    this.audit.resource = { accountId: key.accountId, type: "AWS::KMS::Key", ARN: key.arn };
    return key;
  }

  /** @throws {AwsFault} `AccessDeniedException` */
  authorize(action: string, key: KmsKey | undefined, facts: RequestFacts = {}): void {
    const decision = decide(this.call, action, key, facts);
    this.audit.decision = decision;
    if (decision.outcome !== "allowed") throw accessDenied(this.call, action, key, decision.because);
  }

  /** For operations that KMS offers in the key's own account only, whatever policies say. */
  authorizeOwn(action: string, key: KmsKey, facts: RequestFacts = {}): void {
    if (key.accountId !== this.call.caller.accountId)
      throw accessDenied(this.call, action, key, `because kms:${action} is not offered across accounts`);
    this.authorize(action, key, facts);
  }

  /** @throws {AwsFault} `DisabledException` */
  assertEnabled(key: KmsKey): void {
    if (!key.isEnabled) throw new AwsFault("DisabledException", `${key.arn} is disabled.`);
  }

  /** There are no grants here, so no token is one. */
  refuseGrantTokens(tokens: readonly string[] | undefined): void {
    if (tokens && tokens.length > 0) throw new AwsFault("InvalidGrantTokenException", "this mock KMS has no grants");
  }
}
