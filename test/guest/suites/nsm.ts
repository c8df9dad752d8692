import { openNsmDevice } from "../../../enclave/nsm/device.ts";
import { describeNsm } from "../../nsm/suite.ts";
import { nativePath } from "../machine.ts";

describeNsm("/dev/nsm", async () => {
  const device = await openNsmDevice({ ...nativePath });
  return { device, [Symbol.asyncDispose]: () => device.close() };
});
