/**
 * The process that keeps emulated enclaves. Its working directory is the state folder.
 *
 * @module
 */
import { EmulatedBackend } from "./emulated-backend.ts";
import { createRecord, serveKeeper } from "./keeper.ts";

process.stderr.write(
  "*** MOCK MODE: an emulated Nitro Enclave under a root of its own; nothing here is protected by hardware ***\n",
);
const folder = process.cwd();
const backend = new EmulatedBackend(folder, await createRecord(folder));
await serveKeeper(folder, backend, () => process.stdout.write("listening\n"));
