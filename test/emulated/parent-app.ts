/** An application that uses each service of its parent and says what came of it. */

import { serveHttp } from "../../enclave/app/http.ts";
import { connectThroughParent } from "../../enclave/egress/connect.ts";
import { createLog, parentCredentials } from "../../enclave/egress/index.ts";
import type { Platform } from "../../enclave/platform.ts";
import { toHex } from "../../shared/bytes.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { createTransport } from "../../transport/index.ts";

export { openNsmDevice } from "../../enclave/nsm/device.ts";
export { openNsmSocket } from "../../enclave/nsm/socket.ts";

export async function main({ nsm, parent, self }: Platform): Promise<void> {
  const transport = createTransport();
  const log = createLog({ transport, parent });
  const credentials = parentCredentials({ transport, parent });
  const answers: Readonly<Record<string, () => Promise<string>>> = {
    "/credentials": async () => (await credentials()).accessKeyId,
    "/document": async () => toHex(await nsm.attest({})),
    "/upstream": async () => {
      const socket = await connectThroughParent({ transport, parent, host: "upstream.test", port: 443 });
      socket.setEncoding("utf8").end("ping");
      let text = "";
      for await (const chunk of socket) text += chunk as string;
      return text;
    },
    "/elsewhere": async () => {
      const refused = (error: unknown): string => (error as { readonly code: string }).code;
      return connectThroughParent({ transport, parent, host: "elsewhere.test", port: 443 }).then(
        () => "taken",
        refused,
      );
    },
  };
  await serveHttp({
    ...{ transport, address: addressOf(self, APP_PORT), ...(parent.kind === "vsock" && { allowedCids: [parent.cid] }) },
    handler: async (request) => new Response((await answers[new URL(request.url).pathname]?.()) ?? null),
    onInternalError: (error) => log.write("error", "internal error", { text: String(error) }),
  });
  log.write("info", "the application is ready");
}
