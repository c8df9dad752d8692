import { createRequire } from "node:module";
import type { Transport } from "../../../shared/transport/transport.ts";
import { createNodeVsockTransport, type NodeVsockBinding } from "../../../transport/node-vsock.ts";
import { describeTransport } from "../../transport/describe-transport.ts";
import { LOOPBACK_CID, loopbackPlaces } from "../machine.ts";

const { place, nowhere } = loopbackPlaces(30_000);
const CID_ANY = 0xffff_ffff;

/** It listens on every context id only; the suite dials where it listens. */
function onLoopback(driver: Transport): Transport {
  return {
    connect: driver.connect,
    async listen(address, onConnection) {
      if (address.kind !== "vsock") throw new TypeError("not a vsock address");
      const listener = await driver.listen({ ...address, cid: CID_ANY }, onConnection);
      return Object.defineProperty(listener, "address", { value: { ...address, cid: LOOPBACK_CID } });
    },
  };
}

describeTransport("node-vsock, CID 1", () => {
  const binding = createRequire(import.meta.url)(process.env["NODE_VSOCK"] ?? "") as NodeVsockBinding;
  return { transport: onLoopback(createNodeVsockTransport(binding)), place, nowhere };
});
