/**
 * The proxies between AF_VSOCK and TCP as contestants, one program in C on both sides of each (`load.c`).
 *
 *   cloister         our egress proxy, its port door, an allowlist of one
 *   vsock-proxy      AWS's: a thread for each connection, up to as many as it is told; with 64, and with its default of 4
 *   socat            a process for each connection
 *
 * The guest has context id 3, for vsock-proxy binds no other; the client dials that, and Linux loops it back as it does 1.
 * Each starts anew in each round; the client waits until the proxy listens.
 *
 * @module
 */
import { startEgress } from "../../parent/egress/egress.ts";
import { createVsockTransport, VSOCK_CID_ANY } from "../../transport/vsock.ts";
import type { Contestant } from "./contestant.ts";
import type { Plan } from "./samples.ts";

export const CONNECTIONS = 50;
export const GUEST_CID = 3;
/** As which a guest that dials itself is seen. */
const LOOPBACK_CID = 1;
export const VSOCK_PROXY = "vsock-proxy, 64 workers";
/** What vsock-proxy wants before it dials an address: a list that names it, and a server that it never asks. */
export const ALLOWLIST_PATH = "etc/vsock-proxy.yaml";
export const RESOLVER = "nameserver 127.0.0.1\n";

const LOAD = "/bin/load";
const UPSTREAM = "127.0.0.1";
/** Below those that the system gives away. */
const FIRST_PORT = 30_000;

export function allowlist(rounds: number): string {
  const entries = Array.from(
    { length: rounds },
    (_, round) => `- {address: ${UPSTREAM}, port: ${FIRST_PORT + round}}\n`,
  );
  return `allowlist:\n${entries.join("")}`;
}

export function proxies({ requests, peers }: Plan, round: number, node: readonly string[]): Contestant[] {
  const port = String(FIRST_PORT + round);
  const upstream = { command: [LOAD, "echo", port], says: "ready" } as const;
  const behind = (name: string, command: readonly string[]): Contestant => ({
    group: "egress",
    name,
    servers: [upstream, { command, says: "nothing" }],
    client: [LOAD, "ask", GUEST_CID, port, CONNECTIONS, requests].map(String),
  });
  const { vsockProxy, socat } = peers;
  const workers = (name: string, count: number): Contestant[] =>
    vsockProxy
      ? [behind(name, [...vsockProxy, "-w", String(count), "--config", `/${ALLOWLIST_PATH}`, port, UPSTREAM, port])]
      : [];
  return [
    behind("cloister, port door", [...node, "egress", port]),
    ...workers(VSOCK_PROXY, 64),
    ...workers("vsock-proxy, 4 workers, its default", 4),
    ...(socat
      ? [
          behind("socat, a process each", [
            ...socat,
            `VSOCK-LISTEN:${port},fork,backlog=4096`,
            `TCP:${UPSTREAM}:${port}`,
          ]),
        ]
      : []),
  ];
}

/** From a vsock port to the TCP port of the same number. */
export async function runEgress(port: number): Promise<void> {
  const target = `${UPSTREAM}:${port}`;
  await startEgress({
    transport: createVsockTransport(),
    address: { kind: "vsock", cid: VSOCK_CID_ANY, port },
    allowedCids: [LOOPBACK_CID, GUEST_CID],
    door: { kind: "port", target },
    allowlist: [{ target, allowPrivate: true }],
    log: () => undefined,
  });
}
