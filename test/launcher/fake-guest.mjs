/**
 * Stands for the processes of an emulated enclave.
 *
 *   listen PATH           makes the file it is waited for
 *   boot FOLDER [HANGS]   prints as a kernel does, but hangs in firmware the first HANGS times
 *   stubborn              does not end when asked to
 *   exit CODE             ends at once
 *   flood                 writes without end
 */
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [kind, first, second = "0"] = process.argv.slice(2);
const stay = () => setInterval(() => undefined, 1_000);
if (kind === "listen") {
  writeFileSync(first, "");
  stay();
} else if (kind === "boot") {
  process.stdout.write("Booting from ROM...\n");
  const starts = join(first, "starts");
  appendFileSync(starts, ".");
  if (readFileSync(starts, "utf8").length > Number(second)) process.stdout.write("Linux version 6.12\ninside\n");
  stay();
} else if (kind === "stubborn") {
  process.on("SIGTERM", () => process.stdout.write("no\n"));
  process.stdout.write("Linux version 6.12\n");
  stay();
} else if (kind === "exit") process.exit(Number(first));
else if (kind === "flood") setInterval(() => process.stdout.write("x".repeat(65_536)), 1);
