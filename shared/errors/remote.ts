/**
 * A refusal that came back from the other side of a connection, as data.
 *
 * Nobody vouches for it: an enclave's error passes through the parent, which could have written it. It says why work
 * stopped, and never proves anything.
 *
 * @module
 */
import { type RefusalKind, ToolkitError } from "./toolkit-error.ts";

export class RemoteError extends ToolkitError<string, Readonly<Record<string, unknown>>> {
  override readonly name = "RemoteError";
  constructor(code: string, kind: RefusalKind, message: string, details: Readonly<Record<string, unknown>>) {
    super(code, details, { kind, message: () => message });
  }
}
