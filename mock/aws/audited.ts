/**
 * Runs a call and writes into the trail how it went, also where it was refused: what every service does around each.
 *
 * @module
 */
import { AwsFault } from "./fault.ts";
import type { ServiceCall } from "./service.ts";
import { type Audit, recordsOf, type TrailRecord } from "./trail.ts";

export interface Auditing {
  readonly audit: Audit;
  readonly event: { readonly eventSource: string; readonly readOnly: boolean };
  /** Asked when the call is over, since a caller may prove itself only while it is handled. Nobody: no event. */
  readonly call: () => ServiceCall | undefined;
  /** The service's name of an error that is not the caller's. */
  readonly internalError: string;
  readonly record: (records: readonly TrailRecord[]) => void;
}

/** Gives what `run` gives and throws what it throws. */
export async function audited<Answer>(
  { audit, event, call, internalError, record }: Auditing,
  run: () => Answer | Promise<Answer>,
): Promise<Answer> {
  const tell = (fault?: AwsFault): void => {
    const known = call();
    if (known) record(recordsOf(known, event, audit, fault));
  };
  let answer: Answer;
  try {
    answer = await run();
  } catch (error) {
    tell(error instanceof AwsFault ? error : new AwsFault(internalError, "", 500));
    throw error;
  }
  tell();
  return answer;
}
