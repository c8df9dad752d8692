/**
 * An enclave that can vanish: holds so many connections and says when it has them.
 *
 *   node dist/bench/proxy/holder.js <path of a Unix socket> <count>
 *
 * @module
 */
import { open } from "./client.ts";

const [, , path = "", count = "0"] = process.argv;
const sockets = await Promise.all(Array.from({ length: Number(count) }, () => open({ path })));
await Promise.all(
  sockets.map((socket) => {
    socket.write("Ex");
    return new Promise((resolve) => socket.once("data", resolve));
  }),
);
process.stdout.write("held\n");
setInterval(() => undefined, 60_000);
