/**
 * An answer of AWS that says no: the error's name, its text, its HTTP status.
 *
 * These are the emulated service's words, not this toolkit's refusals: the names are AWS's, and some have no text.
 * On the wire AccessDeniedException writes `Message`, everything else `message`; client faults are HTTP 400.
 *
 * Source: reference of recorded answers; awsJson1_1 protocol, "Operation error serialization".
 *
 * @module
 */

export class AwsFault extends Error {
  override readonly name = "AwsFault";
  /** AWS's name of the error, e.g. `NotFoundException`. */
  readonly error: string;
  readonly status: number;
  constructor(error: string, message = "", status = 400) {
    super(message);
    this.error = error;
    this.status = status;
  }

  /** The body that awsJson1_1 sends. */
  body(): string {
    if (this.message === "") return JSON.stringify({ __type: this.error });
    const label = this.error === "AccessDeniedException" ? "Message" : "message";
    return JSON.stringify({ __type: this.error, [label]: this.message });
  }
}

export function validationFault(message: string): AwsFault {
  return new AwsFault("ValidationException", message);
}

export function serializationFault(message: string): AwsFault {
  return new AwsFault("SerializationException", message);
}
