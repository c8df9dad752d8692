/**
 * The processes of an emulated enclave that runs alone: the vsock process, and QEMU.
 *
 * Its documents are signed under a root made for it. The root's key is forgotten at once; the leaf's lies in the
 * enclave's folder until the enclave is terminated.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { enclaveCommand, guestSockets, vsockCommand } from "../../mock/emulator/commands.ts";
import { writeSigner } from "../../mock/emulator/signer.ts";
import type { EmulatedLaunch } from "../../mock/launcher/emulated.ts";
import { type EmulatedGuests, FIRST_LINE_MS } from "../../mock/launcher/process-spec.ts";
import { createPki } from "../../mock/nsm/pki.ts";
import { LauncherError } from "../../shared/errors/launcher.ts";

const SOCKET_MS = 10_000;
const INIT_MS = 120_000;
const REGION = "us-east-1";

/** @param emulator the folder that `make emulator` prints */
export function emulatedCommands(emulator: string | undefined): (launch: EmulatedLaunch) => Promise<EmulatedGuests> {
  return async ({ eifPath, cid, cpuCount, memoryMiB, enclaveId, instanceId, parentRoleArn, folder: home }) => {
    if (emulator === undefined) {
      throw new LauncherError("ERR_LAUNCHER_HOST", {
        needs: "QEMU",
        reason: "make emulator has not been run, and --emulator names no folder",
      });
    }
    const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
    const issuing = { region: REGION, instanceId, now: () => new Date(), randomBytes: random };
    const pki = await createPki({ ...issuing, dangerouslyExportLeafKeys: true });
    const signer = await writeSigner(pki, enclaveId, home);
    const sockets = guestSockets(home, cid);
    const machine = { moduleId: enclaveId, instanceId, parentRoleArn, memoryMiB, cpuCount, signer };
    const files = { folder: emulator };
    return {
      enclave: "enclave",
      peer: { kind: "hybrid", path: sockets.host },
      attestationRoot: Buffer.from(pki.rootCertificate).toString("base64"),
      processes: [
        {
          name: "vsock",
          ...vsockCommand(files, [sockets]),
          ready: [{ kind: "file", path: sockets.device, withinMs: SOCKET_MS }],
        },
        {
          name: "enclave",
          ...enclaveCommand(files, { eifPath, sockets, ...machine }),
          ready: [
            { kind: "console", text: "Linux version ", withinMs: FIRST_LINE_MS },
            { kind: "console", text: "Run /init as init process", withinMs: INIT_MS },
          ],
        },
      ],
    };
  };
}
