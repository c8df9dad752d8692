/**
 * The mock AWS as a process of its own, driven by JSON lines on standard input and output. Ends when its input ends.
 *
 * @module
 */
import { serveControl } from "../../transport/control.ts";
import { mockAwsControl } from "./control.ts";
import { startMockAws } from "./index.ts";

process.stderr.write(
  "=== MOCK MODE: this is a mock AWS; its keys and its trust are for tests, not for real data ===\n",
);
const control = mockAwsControl(startMockAws);
serveControl(process.stdin, process.stdout, control.handlers, () => {
  void control.close().finally(() => process.exit(0));
});
