import type { Address } from "../../../shared/transport/address.ts";
import { createVsockTransport } from "../../../transport/vsock.ts";
import { describeTransport } from "../../transport/describe-transport.ts";
import { loopbackPlaces, nativePath } from "../machine.ts";

const { place, nowhere }: { place: () => Address; nowhere: () => Promise<Address> } = loopbackPlaces(20_000);

describeTransport("vsock, CID 1", () => ({
  transport: createVsockTransport({ allowedCids: "any", ...nativePath }),
  place,
  nowhere,
}));
