/** The parent's figures, as Prometheus reads them. */
import { describe, expect, test } from "vitest";
import { createMetrics, type Metrics } from "../../../parent/observability/metrics.ts";
import type { ParentEvent, Service } from "../../../parent/observability/observe.ts";
import { codeOf } from "../../../parent/observability/observe.ts";
import { NOTHING } from "../../../parent/observability/tallies.ts";
import { connect, echo, lived, proxy, until } from "../fixture.ts";

/** The samples of our own, `name{labels}` → value. */
async function samples(metrics: Metrics): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split("\n").filter((line) => line.startsWith("cloister_"));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice("cloister_parent_".length, at), Number(line.slice(at + 1))];
    }),
  );
}

describe("metrics", () => {
  test("a service's figures are read when they are asked for", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    let stats = {
      ...NOTHING,
      open: 2,
      accepted: 5,
      full: 1,
      bytesFromEnclave: 10,
      bytesToEnclave: 20,
      acceptPauses: 3,
    };
    stats = { ...stats, resolutions: 7, resolutionFailures: 6, connectFailures: 4 };
    metrics.watch("egress", () => stats);
    const expected = {
      'connections_open{service="egress"}': 2,
      'connections_accepted_total{service="egress"}': 5,
      'connections_full_total{service="egress"}': 1,
      'accept_pauses_total{service="egress"}': 3,
      'bytes_total{service="egress",direction="from_enclave"}': 10,
      'bytes_total{service="egress",direction="to_enclave"}': 20,
      egress_dns_resolutions_total: 7,
      egress_dns_failures_total: 6,
      egress_connect_failures_total: 4,
    };
    expect(await samples(metrics)).toEqual(expected);
    expect(await samples(metrics)).toEqual(expected);
    stats = { ...stats, open: 0, accepted: 6 };
    expect(await samples(metrics)).toMatchObject({
      'connections_open{service="egress"}': 0,
      'connections_accepted_total{service="egress"}': 6,
    });
  });

  test("several doors of a service are one series, and none of it goes back when a door closes", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    const read = () => ({ ...NOTHING, open: 1, accepted: 5 });
    const [closeFirst, closeSecond] = [metrics.watch("egress", read), metrics.watch("egress", read)];
    const accepted = async (): Promise<number | undefined> =>
      (await samples(metrics))['connections_accepted_total{service="egress"}'];
    expect(await accepted()).toBe(10);
    closeFirst();
    closeFirst();
    expect(await accepted()).toBe(10);
    expect((await samples(metrics))['connections_open{service="egress"}']).toBe(1);
    metrics.watch("egress", () => ({ ...NOTHING, accepted: 1 }));
    expect(await accepted()).toBe(11);
    closeSecond();
    expect((await samples(metrics))['connections_open{service="egress"}']).toBe(0);
  });

  test("refusals and failures by code, durations in seconds", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    const connectionId = "egress-1";
    metrics.log({ service: "egress", event: "refused", connectionId, code: "ERR_TRANSPORT_HOST_NOT_ALLOWED" });
    metrics.log({ service: "egress", event: "failed", connectionId, code: "ECONNREFUSED" });
    metrics.log({ service: "egress", event: "connected", connectionId, durationMs: 30 });
    metrics.log({ service: "egress", event: "closed", connectionId, durationMs: 2_000 });
    metrics.log({ service: "egress", event: "reloaded" });
    expect(await samples(metrics)).toMatchObject({
      'connections_refused_total{service="egress",code="ERR_TRANSPORT_HOST_NOT_ALLOWED"}': 1,
      'connections_failed_total{service="egress",code="ECONNREFUSED"}': 1,
      'reloads_total{service="egress",code="none"}': 1,
      'connect_duration_seconds_sum{service="egress"}': 0.03,
      'connect_duration_seconds_bucket{le="0.02",service="egress"}': 0,
      'connect_duration_seconds_bucket{le="0.05",service="egress"}': 1,
      'connection_duration_seconds_sum{service="egress"}': 2,
    });
  });

  test("R29: no peer makes series: codes and services come from closed sets, targets are no label", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    for (let i = 0; i < 10_000; i++) {
      const event: ParentEvent = {
        service: `service-${i}` as Service,
        event: "refused",
        connectionId: `egress-${i}`,
        cid: i,
        target: `host-${i}.test:443`,
        code: i % 2 === 0 ? `CODE-${i}` : `x"} 1\nforged{a="${i}`,
      };
      metrics.log(event);
    }
    expect(await samples(metrics)).toEqual({ 'connections_refused_total{service="other",code="other"}': 10_000 });
  });

  test("every code that a socket, the resolver or this toolkit gives keeps its name", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    const codes = ["ERR_TRANSPORT_FRAME_INVALID", "EMFILE", "ENOTFOUND", "EAI_AGAIN", codeOf(new Error("any"))];
    for (const code of codes) metrics.log({ service: "log", event: "failed", code });
    for (const code of codes) {
      expect((await samples(metrics))[`connections_failed_total{service="log",code="${code}"}`]).toBe(1);
    }
  });

  test("facts that are not known have no series, and those that are do", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    expect(await samples(metrics)).toEqual({});
    metrics.observe(() => ({ credentials: {}, log: { accepted: 4, dropped: { rate: 3, file: 0 } } }));
    expect(await samples(metrics)).toEqual({
      log_records_total: 4,
      'log_records_dropped_total{reason="rate"}': 3,
      'log_records_dropped_total{reason="file"}': 0,
    });
    metrics.observe(() => ({
      enclave: { up: true, restarts: 2 },
      credentials: { expireAtMs: 1_700_000_000_500, refreshFailures: 1 },
      ingress: { healthy: 1, unhealthy: 0 },
    }));
    expect(await samples(metrics)).toEqual({
      enclave_up: 1,
      enclave_restarts_total: 2,
      credentials_expiry_timestamp_seconds: 1_700_000_000.5,
      credentials_refresh_failures_total: 1,
      'ingress_targets{health="healthy"}': 1,
      'ingress_targets{health="unhealthy"}': 0,
    });
  });

  test("figures of the process: descriptors, memory, event loop lag", async () => {
    const text = await (await createMetrics()).text();
    for (const name of ["process_open_fds", "process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"]) {
      expect(text).toMatch(new RegExp(`^${name} `, "m"));
    }
  });

  test("each metric has help and a type, and counters end in _total", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    const text = await metrics.text();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type] as const);
    expect(types.length).toBeGreaterThan(15);
    for (const [name = "", type] of types) {
      expect(text).toContain(`# HELP ${name} `);
      expect(name.startsWith("cloister_parent_"), name).toBe(true);
      expect(name.endsWith("_total"), name).toBe(type === "counter");
    }
    expect(metrics.contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  test("what a proxy really did is what its metrics say", async () => {
    const metrics = await createMetrics({ ofProcess: false });
    const port = await echo();
    const under = await proxy({
      allowlist: [`echo.test:${port}`],
      hosts: { [`echo.test:${port}`]: `127.0.0.1:${port}` },
      log: metrics.log,
    });
    metrics.watch("egress", () => under.service.stats());
    await lived(under, port);
    await under.raw(connect("canary-host.test:443"));
    await until(() => under.service.stats().open === 0);
    expect(await samples(metrics)).toMatchObject({
      'connections_accepted_total{service="egress"}': 2,
      'connections_open{service="egress"}': 0,
      'connections_refused_total{service="egress",code="ERR_TRANSPORT_HOST_NOT_ALLOWED"}': 1,
      'connection_duration_seconds_count{service="egress"}': 2,
      'bytes_total{service="egress",direction="to_enclave"}': under.service.stats().bytesToEnclave,
    });
    expect(under.service.stats().bytesToEnclave).toBeGreaterThanOrEqual("alive".length);
    expect(await metrics.text()).not.toContain("canary-host");
  });
});
