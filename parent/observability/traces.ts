/**
 * A span for each connection, for whoever has OpenTelemetry running already.
 *
 * The tracer is handed in (`trace.getTracer("cloister")` of `@opentelemetry/api`), and its shape is all that is used:
 * no package is needed, and a parent without a tracer makes no call. Attributes follow the semantic conventions where
 * one exists; the target is told when it was connected to, not when it was refused.
 *
 * Source: OpenTelemetry semantic conventions, `server.address`, `server.port`, `error.type`.
 *
 * @module
 */
import { parseTarget } from "../../shared/transport/target.ts";
import type { ParentEvent, ParentLog } from "./observe.ts";

export type SpanAttributes = Record<string, string | number | boolean>;

/** What is used of an OpenTelemetry span. */
export interface Span {
  setAttributes(attributes: SpanAttributes): unknown;
  setStatus(status: { code: number }): unknown;
  end(): void;
}

/** What is used of an OpenTelemetry tracer. */
export interface Tracer {
  startSpan(name: string, options?: { attributes?: SpanAttributes; root?: boolean }): Span;
}

/** `SpanStatusCode.ERROR` */
const STATUS_ERROR = 2;

/** Makes a log that traces connections: give it the services' events. */
export function createTraces(tracer: Tracer): ParentLog {
  const open = new Map<string, Span>();
  return (event) => {
    const { service, event: name, connectionId, cid } = event;
    if (connectionId === undefined) return;
    const key = `${service} ${connectionId}`;
    if (name === "accepted") {
      const attributes = { "cloister.service": service, ...(cid !== undefined && { "cloister.cid": cid }) };
      open.set(key, tracer.startSpan(`cloister.${service}`, { attributes, root: true }));
      return;
    }
    const span = open.get(key);
    if (!span) return;
    note(span, event);
    if (name !== "closed") return;
    open.delete(key);
    span.end();
  };
}

function note(span: Span, event: ParentEvent): void {
  const { event: name, target, code, bytesFromEnclave, bytesToEnclave } = event;
  if (name === "connected" && target !== undefined) span.setAttributes(placeOf(target));
  if (name === "refused" || name === "failed") {
    span.setAttributes({ "error.type": code ?? name });
    span.setStatus({ code: STATUS_ERROR });
  }
  if (bytesFromEnclave !== undefined) span.setAttributes({ "cloister.bytes_from_enclave": bytesFromEnclave });
  if (bytesToEnclave !== undefined) span.setAttributes({ "cloister.bytes_to_enclave": bytesToEnclave });
}

/** The target is canonical already: it is read once more to be taken apart. */
function placeOf(target: string): SpanAttributes {
  try {
    const { host, port } = parseTarget(target);
    return { "server.address": host, "server.port": port };
  } catch {
    return { "server.address": target };
  }
}
