/**
 * The command lines of an emulated instance: two guests and the process that carries vsock between them.
 *
 *   vhost-device-vsock   one for both guests, so that they reach each other by context id; on the host each guest's
 *                        sockets are Unix sockets by Firecracker's convention
 *   the enclave          QEMU's nitro-enclave machine: loads an EIF, measures it, gives it /dev/nsm and vsock
 *   the parent           an ordinary machine at context id 3, as on EC2
 *
 * Pure: nothing is started here. QEMU splits its options at commas and has no quotes, so a comma in a value is doubled.
 *
 * Source: QEMU `docs/system/i386/nitro-enclave.rst`; rust-vmm/vhost-device, `vhost-device-vsock/README.md`.
 *
 * @module
 */
import { join } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";

/** A processor that tells the rate of its clock (`emulator/tcg-clock.patch`): on a busy host none could be measured. */
const CPU = "max,vendor=GenuineIntel,level=0x16,tsc-frequency=1000000000";

/** The folder that `make emulator` prints. */
export interface EmulatorFiles {
  readonly folder: string;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** Where one guest meets the host. */
export interface GuestSockets {
  readonly cid: number;
  /** The Unix socket between QEMU and the vsock process. */
  readonly device: string;
  /** The Unix socket by which the host reaches the guest; what the guest dials at the host's port P is `<host>_P`. */
  readonly host: string;
}

export function guestSockets(folder: string, cid: number): GuestSockets {
  return { cid, device: join(folder, `${cid}.dev`), host: join(folder, `${cid}.vsock`) };
}

/** @param hostCid where the guests meet the host; default 2, where on EC2 nobody is */
export function vsockCommand(
  { folder }: EmulatorFiles,
  { guests, hostCid }: { readonly guests: readonly GuestSockets[]; readonly hostCid?: number },
): Command {
  const args = guests.flatMap(({ cid, device, host }) => [
    "--vm",
    `guest-cid=${cid},socket=${withoutComma(device)},uds-path=${withoutComma(host)}`,
  ]);
  const host = hostCid === undefined ? [] : ["--host-cid", String(hostCid)];
  return { file: join(folder, "vhost-device-vsock"), args: [...args, ...host] };
}

export interface EnclaveGuest {
  readonly eifPath: string;
  readonly sockets: GuestSockets;
  /** As its documents will say: `i-<17 hex>-enc<16 hex>`. */
  readonly moduleId: string;
  readonly instanceId: string;
  readonly parentRoleArn: string;
  readonly memoryMiB: number;
  readonly cpuCount: number;
  /** Where its console goes, a file; without one to QEMU's standard output. */
  readonly console?: string;
  /** PEM files: the leaf's key, and the chain from the root to the leaf. Without them NSM signs nothing. */
  readonly signer?: { readonly key: string; readonly chain: string };
}

export function enclaveCommand(files: EmulatorFiles, guest: EnclaveGuest): Command {
  const { eifPath, sockets, moduleId, instanceId, parentRoleArn, memoryMiB, cpuCount, signer } = guest;
  const machine = [
    "nitro-enclave",
    // Debian's kernel finds virtio-mmio devices by ACPI only.
    "acpi=on",
    "vsock=c",
    `id=${quoted(moduleId)}`,
    `parent-role=${quoted(parentRoleArn)}`,
    `parent-id=${quoted(instanceId)}`,
  ];
  return qemu(files, [
    ...["-M", machine.join(",")],
    ...["-smp", String(cpuCount), "-m", `${memoryMiB}M`],
    ...["-kernel", eifPath],
    ...["-chardev", `socket,id=c,path=${quoted(sockets.device)}`],
    ...serial(guest.console),
    ...(signer
      ? [
          "-global",
          `virtio-nsm-device.signing-key=${quoted(signer.key)}`,
          "-global",
          `virtio-nsm-device.chain=${quoted(signer.chain)}`,
        ]
      : []),
  ]);
}

export interface ParentGuest {
  readonly sockets: GuestSockets;
  readonly kernel: string;
  readonly initrd: string;
  readonly cmdline: string;
  readonly memoryMiB: number;
  /** As of `EnclaveGuest`. */
  readonly console?: string;
}

export function parentCommand(files: EmulatorFiles, guest: ParentGuest): Command {
  const { sockets, kernel, initrd, cmdline, memoryMiB } = guest;
  return qemu(files, [
    ...["-M", "q35,memory-backend=mem", "-nodefaults", "-vga", "none"],
    ...["-object", `memory-backend-memfd,id=mem,size=${memoryMiB}M,share=on`],
    ...["-smp", "1", "-m", `${memoryMiB}M`],
    ...["-kernel", kernel, "-initrd", initrd, "-append", cmdline],
    ...["-chardev", `socket,id=c,path=${quoted(sockets.device)}`, "-device", "vhost-user-vsock-pci,chardev=c"],
    ...serial(guest.console),
  ]);
}

function qemu({ folder }: EmulatorFiles, args: readonly string[]): Command {
  const common = ["-L", join(folder, "bios"), "-display", "none", "-monitor", "none", "-no-reboot"];
  return {
    file: join(folder, "qemu-system-x86_64"),
    args: [...common, "-accel", "tcg,thread=multi", "-cpu", CPU, ...args],
  };
}

function serial(file: string | undefined): readonly string[] {
  return ["-serial", file === undefined ? "stdio" : `file:${quoted(file)}`];
}

/** vhost-device-vsock splits its options at commas and has no way to write one. */
function withoutComma(path: string): string {
  if (!path.includes(",")) return path;
  throw new LauncherError("ERR_LAUNCHER_STATE_FOLDER", { path, rule: "its path has no comma" });
}

function quoted(value: string): string {
  return value.replaceAll(",", ",,");
}
