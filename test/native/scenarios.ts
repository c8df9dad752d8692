/** What must hold on any kernel with a vsock that leads back to this machine, and under the shim. */
import { FLOWS } from "./flows.ts";
import { beBusy, LIFETIMES } from "./lifetimes.ts";
import type { Scenario } from "./streams.ts";

export const SCENARIOS: Readonly<Record<string, Scenario>> = { ...FLOWS, ...LIFETIMES };

export { beBusy };
