/**
 * The process that keeps mock enclaves. Its working directory is the state folder.
 *
 * @module
 */
import { createRecord, serveKeeper } from "./keeper.ts";
import { MockBackend } from "./mock-backend.ts";

process.stderr.write(
  "*** MOCK MODE: an emulated Nitro hypervisor signs with a root of its own; nothing here is protected by hardware ***\n",
);
const folder = process.cwd();
const backend = await MockBackend.start(folder, await createRecord(folder));
await serveKeeper(folder, backend, () => process.stdout.write("listening\n"));
