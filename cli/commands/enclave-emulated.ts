/**
 * The processes of an emulated enclave that runs alone: the vsock process, and QEMU.
 *
 * Its documents are signed under a root made for it, whose key is forgotten at once, or under one that was handed in. The
 * leaf's key lies in the enclave's folder until the enclave is terminated.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { enclaveCommand, guestSockets, vsockCommand } from "../../mock/emulator/commands.ts";
import { PARENT_CID } from "../../mock/emulator/ports.ts";
import { writeSigner } from "../../mock/emulator/signer.ts";
import type { EmulatedLaunch } from "../../mock/launcher/emulated.ts";
import { type EmulatedGuests, FIRST_LINE_MS } from "../../mock/launcher/process-spec.ts";
import { createPki, type MockRoot } from "../../mock/nsm/pki.ts";
import { LauncherError } from "../../shared/errors/launcher.ts";

const SOCKET_MS = 10_000;
const INIT_MS = 120_000;
const REGION = "us-east-1";

export interface EmulatedSettings {
  /** The folder that `make emulator` prints. */
  readonly emulator?: string | undefined;
  /** Where the enclave and this host meet: its parent listens at this path with `_` and the port. Default: its own folder. */
  readonly meet?: string | undefined;
  /** The root of its documents. Default: one that is made for it and forgotten. */
  readonly root?: MockRoot | undefined;
}

export function emulatedCommands(settings: EmulatedSettings): (launch: EmulatedLaunch) => Promise<EmulatedGuests> {
  const { emulator, meet, root } = settings;
  return async ({ eifPath, cid, cpuCount, memoryMiB, enclaveId, instanceId, parentRoleArn, folder: home }) => {
    if (emulator === undefined) {
      throw new LauncherError("ERR_LAUNCHER_HOST", {
        needs: "QEMU",
        reason: "make emulator has not been run, and --emulator names no folder",
      });
    }
    const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
    const issuing = { region: REGION, instanceId, now: () => new Date(), randomBytes: random, root };
    const pki = await createPki({ ...issuing, dangerouslyExportLeafKeys: true });
    const signer = await writeSigner(pki, enclaveId, home);
    const own = guestSockets(home, cid);
    const sockets = { ...own, host: meet ?? own.host };
    const machine = { moduleId: enclaveId, instanceId, parentRoleArn, memoryMiB, cpuCount, signer };
    const files = { folder: emulator };
    return {
      enclave: "enclave",
      peer: { kind: "hybrid", path: sockets.host },
      attestationRoot: Buffer.from(pki.rootCertificate).toString("base64"),
      processes: [
        {
          name: "vsock",
          ...vsockCommand(files, { guests: [sockets], hostCid: PARENT_CID }),
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
