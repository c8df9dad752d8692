/**
 * The form of a KMS operation: validated input in, the SDK's output out.
 *
 * @module
 */
import type { KmsRequest } from "../request.ts";

/** Input after validation: members that the model requires are there. */
export type Valid<Input> = {
  readonly [Name in keyof Input]: Record<never, never> extends Pick<Input, Name>
    ? Input[Name]
    : NonNullable<Input[Name]>;
};

/** Output as the SDK gives it, without what the SDK adds. */
export type Answer<Output> = Omit<Output, "$metadata">;

export interface Operation {
  /** CloudTrail's `readOnly`. */
  readonly readOnly: boolean;
  /** Members of the answer that CloudTrail shows as `responseElements`. */
  readonly shown: readonly string[];
  readonly run: (request: KmsRequest, input: never) => object | Promise<object>;
}

/** An operation that changes nothing that CloudTrail would call a change; cryptographic ones are among them. */
export function reads(run: Operation["run"]): Operation {
  return { readOnly: true, shown: [], run };
}

/** An operation that changes something; `shown` of its answer goes to the trail. */
export function writes(run: Operation["run"], ...shown: readonly string[]): Operation {
  return { readOnly: false, shown, run };
}
