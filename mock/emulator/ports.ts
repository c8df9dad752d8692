/**
 * Context ids and ports of an emulated instance.
 *
 * @module
 */

/** Any context id of this machine: VMADDR_CID_ANY, vsock(7). */
export const ANY_CID = 0xffff_ffff;
/** The host of a guest: VMADDR_CID_HOST, vsock(7). On EC2 nobody is there. */
export const HOST_CID = 2;
/** The parent instance, as on EC2. */
export const PARENT_CID = 3;
/** Where an enclave's init announces itself with `HEARTBEAT_BYTE`, and wants it back. */
export const HEARTBEAT_PORT = 9000;
export const HEARTBEAT_BYTE = 0xb7;
/** Where the host starts the parent in its guest. */
export const AGENT_PORT = 9999;
