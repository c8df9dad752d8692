/**
 * The one program of the emulated parent instance: it stands where an operator's shell and EC2's network would be.
 *
 *   heartbeat   vsock 9000            answers an enclave's 0xB7, as `nitro-cli run-enclave` does while one starts
 *   command     vsock 9999, host      runs the parent; the connection is its standard input and output
 *   out:<port>  tcp 127.0.0.1         leads to the same port of the host's vsock
 *   in:<port>   vsock, host           leads to the same port of 127.0.0.1
 *
 *   agent.mjs <program> [out:<port>|in:<port>]…
 *
 * The guest has no other network. It is an emulation: who reaches the host's Unix socket runs the parent.
 *
 * @module
 */
import { spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import { createTcpTransport } from "../../transport/tcp.ts";
import { createVsockTransport } from "../../transport/vsock.ts";
import { AGENT_PORT, ANY_CID, HEARTBEAT_BYTE, HEARTBEAT_PORT, HOST_CID } from "./ports.ts";

const [program = "", ...ways] = process.argv.slice(2);
const HEARTBEAT_MS = 5_000;
const anyone = createVsockTransport({ allowedCids: "any" });
const host = createVsockTransport({ allowedCids: [HOST_CID] });
const tcp = createTcpTransport();

function join(a: Duplex, b: Duplex): void {
  // An end that breaks ends both; the error itself belongs to the two who talk.
  pipeline(a, b, a, () => {
    a.destroy();
    b.destroy();
  });
}

const lead = (far: () => Promise<Duplex>) => (near: Duplex) => {
  far().then(
    (other) => join(near, other),
    () => near.destroy(),
  );
};

await anyone.listen({ kind: "vsock", cid: ANY_CID, port: HEARTBEAT_PORT }, (socket) => {
  const late = setTimeout(() => socket.destroy(), HEARTBEAT_MS);
  socket.once("close", () => clearTimeout(late));
  socket.once("data", (chunk: Uint8Array) => {
    if (chunk[0] === HEARTBEAT_BYTE) socket.end(chunk.subarray(0, 1));
    else socket.destroy();
  });
});

await host.listen({ kind: "vsock", cid: ANY_CID, port: AGENT_PORT }, (socket) => {
  const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] });
  child.once("exit", (code) => console.error(`agent: ${program} ended with ${code}`));
  child.once("error", (error) => console.error(`agent: ${program}: ${error.message}`));
  socket.once("close", () => child.kill());
  // Either may be gone before the other has written all.
  pipeline(socket, child.stdin, () => {});
  pipeline(child.stdout, socket, () => {});
});

for (const way of ways) {
  const [direction, digits] = way.split(":");
  const port = Number(digits);
  const inside = { kind: "tcp", host: "127.0.0.1", port } as const;
  if (direction === "out")
    await tcp.listen(
      inside,
      lead(() => anyone.connect({ kind: "vsock", cid: HOST_CID, port })),
    );
  else
    await host.listen(
      { kind: "vsock", cid: ANY_CID, port },
      lead(() => tcp.connect(inside)),
    );
}
console.error("agent: ready");
