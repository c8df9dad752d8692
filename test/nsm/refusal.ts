/**
 * How a call was refused, as one line: the code and the fact that matters, never the message.
 *
 * @module
 */
import { isNsmError } from "../../shared/errors/nsm.ts";
import { isToolkitError } from "../../shared/errors/toolkit-error.ts";

export async function refusal(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return "accepted";
  } catch (error) {
    if (isNsmError(error)) {
      const details = error.details as Readonly<Record<string, unknown>>;
      const fact = error.code === "ERR_NSM_REFUSED" ? details["reason"] : details["field"];
      return fact === undefined ? error.code : `${error.code} ${String(fact)}`;
    }
    if (isToolkitError(error)) return error.code;
    return error instanceof Error ? error.name : String(error);
  }
}
