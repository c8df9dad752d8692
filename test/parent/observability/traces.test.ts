/** Spans for connections, with a double of a tracer: the SDK of OpenTelemetry is not among our packages. */
import { describe, expect, test } from "vitest";
import { createTraces, type SpanAttributes, type Tracer } from "../../../parent/observability/traces.ts";
import { connect, echo, lived, proxy, until } from "../fixture.ts";

interface Recorded {
  readonly name: string;
  readonly attributes: SpanAttributes;
  status?: number;
  ended: number;
}

function recorder(): { readonly tracer: Tracer; readonly spans: Recorded[] } {
  const spans: Recorded[] = [];
  const tracer: Tracer = {
    startSpan(name, { attributes = {} } = {}) {
      const span: Recorded = { name, attributes: { ...attributes }, ended: 0 };
      spans.push(span);
      return {
        setAttributes: (more) => Object.assign(span.attributes, more),
        setStatus: ({ code }) => (span.status = code),
        end: () => void span.ended++,
      };
    },
  };
  return { tracer, spans };
}

describe("traces", () => {
  test("a connection is a span, with its place and its bytes", async () => {
    const { tracer, spans } = recorder();
    const port = await echo();
    const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}` };
    const under = await proxy({ allowlist: [`echo.test:${port}`], hosts, log: createTraces(tracer) });
    await lived(under, port);
    await until(() => spans[0]?.ended === 1);
    expect(spans).toEqual([
      {
        name: "cloister.egress",
        attributes: {
          "cloister.service": "egress",
          "server.address": "echo.test",
          "server.port": port,
          "cloister.bytes_from_enclave": under.service.stats().bytesFromEnclave,
          "cloister.bytes_to_enclave": under.service.stats().bytesToEnclave,
        },
        ended: 1,
      },
    ]);
  });

  test("R29: a refusal is an error with its code, and does not carry the target", async () => {
    const { tracer, spans } = recorder();
    const under = await proxy({ allowlist: [], log: createTraces(tracer) });
    await under.raw(connect("canary-host.test:443"));
    await until(() => spans[0]?.ended === 1);
    expect(spans[0]).toMatchObject({ status: 2, attributes: { "error.type": "ERR_TRANSPORT_HOST_NOT_ALLOWED" } });
    expect(JSON.stringify(spans)).not.toContain("canary-host");
  });

  test("events of a service, and of connections that never began or are over, make no span", () => {
    const { tracer, spans } = recorder();
    const log = createTraces(tracer);
    log({ service: "egress", event: "paused", code: "EMFILE" });
    log({ service: "egress", event: "full", connectionId: "egress-1" });
    log({ service: "egress", event: "closed", connectionId: "egress-1" });
    expect(spans).toEqual([]);
    log({ service: "egress", event: "accepted", connectionId: "egress-2" });
    for (let i = 0; i < 2; i++) log({ service: "egress", event: "closed", connectionId: "egress-2" });
    expect(spans.map(({ ended }) => ended)).toEqual([1]);
  });
});
