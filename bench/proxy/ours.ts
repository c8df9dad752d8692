/**
 * Our proxy as a contestant: the port door of the egress engine on a Unix socket, in front of one TCP server.
 *
 *   node dist/bench/proxy/ours.js        options on the first line of its input: {path, port, resolver?}
 *
 * A later line `{"do":"drain","deadlineMs":…}` drains, `{"do":"update","allowlist":[…]?}` reads the list anew; an empty
 * one is answered with what the service says of itself.
 *
 * @module
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { startEgress } from "../../parent/egress/egress.ts";
import { createResolver } from "../../parent/egress/resolver.ts";
import { codeOf } from "../../parent/observability/observe.ts";
import { createTransport } from "../../transport/create.ts";

interface Options {
  readonly path: string;
  readonly port: number;
  readonly resolver?: { readonly servers: readonly string[] };
}

interface Order {
  readonly do: "drain" | "update";
  readonly deadlineMs?: number;
  readonly allowlist?: readonly string[];
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { path, port, resolver } = JSON.parse((await lines.next()).value ?? "{}") as Options;
const target = `upstream.test:${port}`;
const list = {
  allowlist: [{ target, allowPrivate: true }],
  ...(resolver ? {} : { hosts: { [target]: `127.0.0.1:${port}` } }),
};
const events = new Map<string, number>();
const egress = await startEgress({
  transport: createTransport(),
  address: { kind: "unix", path },
  door: { kind: "port", target },
  ...list,
  ...(resolver ? { resolve: createResolver(resolver) } : {}),
  limits: { maxConnections: 20_000, idleTimeoutMs: 3_600_000 },
  log: ({ event }) => events.set(event, (events.get(event) ?? 0) + 1),
});
const lag = monitorEventLoopDelay({ resolution: 10 });
lag.enable();

function report(): object {
  const lagMs = lag.percentile(99) / 1e6 - 10;
  lag.reset();
  return { stats: egress.stats(), lagMs, events: Object.fromEntries(events) };
}

function update(allowlist: readonly string[] | undefined): object {
  try {
    egress.update(allowlist ? { allowlist } : list);
    return {};
  } catch (error) {
    return { refused: codeOf(error) };
  }
}

async function obey({ do: what, deadlineMs = 0, allowlist }: Order): Promise<object> {
  return what === "drain" ? egress.drain(deadlineMs) : update(allowlist);
}

const tell = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
tell({ path });
// Not one after the other: a drain is watched while it goes on.
for await (const line of lines)
  void (line === "" ? Promise.resolve(report()) : obey(JSON.parse(line) as Order)).then(tell);
process.exit(0);
