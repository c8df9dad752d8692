/**
 * The Nitro hardware, emulated: a hypervisor in a process of its own, and an NSM in this one.
 *
 * Both sign under a root that is made for the run and is trusted by nobody who does not name it.
 *
 * @module
 */
import { randomBytes as systemRandom } from "node:crypto";
import type { EifMeasurements } from "../../shared/eif/measure.ts";
import { createNsm } from "../../shared/nsm/client.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { startControlled } from "../../transport/control.ts";
import { createSoftwareNsm } from "./device.ts";
import { type EnclaveStatus, newModuleId, type RunOptions, type StartedEnclave } from "./hypervisor.ts";
import { createPki, type MockPki } from "./pki.ts";

export type { EnclaveStatus, RunOptions, StartedEnclave } from "./hypervisor.ts";
export type { MockPki, PkiOptions } from "./pki.ts";
export { createPki } from "./pki.ts";

const INSTANCE_ID = "i-0123456789abcdef0";
const REGION = "us-east-1";
const PARENT_ROLE_ARN = "arn:aws:iam::123456789012:role/parent";

export interface StartHypervisorOptions {
  /** The folder that stands for vsock: the sockets of context id N are in `<vsock>/N`. */
  readonly vsock: string;
  /** Default `i-0123456789abcdef0`; PCR4 measures it. */
  readonly instanceId?: string;
  /** Default `us-east-1`; only a name in certificates. */
  readonly region?: string;
  /** Default `arn:aws:iam::123456789012:role/parent`; PCR3 measures it. */
  readonly parentRoleArn?: string;
}

/** The mock hypervisor, from outside. Ending it ends its enclaves. */
export interface Hypervisor extends AsyncDisposable {
  /** DER; the root of every document its enclaves show. */
  readonly rootCertificate: Uint8Array;
  /**
   * Measures and runs an image. PCRs are not an input.
   *
   * @throws {ControlError} the code of the refusal, e.g. `ERR_EIF_SECTION`
   */
  run(options: RunOptions): Promise<StartedEnclave>;
  terminate(enclaveId: string): Promise<void>;
  list(): Promise<readonly EnclaveStatus[]>;
  /** What an enclave in debug mode has written, at most the last 64 KiB. */
  console(enclaveId: string): Promise<string>;
  close(): Promise<void>;
}

/** Starts the mock hypervisor as a process. It says so on standard error. */
export async function startHypervisor(options: StartHypervisorOptions): Promise<Hypervisor> {
  const { vsock, instanceId = INSTANCE_ID, region = REGION, parentRoleArn = PARENT_ROLE_ARN } = options;
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const child = startControlled(new URL(`./process.${extension}`, import.meta.url));
  try {
    const params = { vsock, instanceId, region, parentRoleArn };
    const { rootCertificate } = await child.call<{ rootCertificate: string }>("start", params);
    return {
      rootCertificate: new Uint8Array(Buffer.from(rootCertificate, "base64")),
      run: (run) => child.call("run", run),
      terminate: async (enclaveId) => void (await child.call("terminate", { enclaveId })),
      list: async () => (await child.call<{ enclaves: readonly EnclaveStatus[] }>("list")).enclaves,
      console: async (enclaveId) => (await child.call<{ text: string }>("console", { enclaveId })).text,
      close: () => child.close(),
      [Symbol.asyncDispose]: () => child.close(),
    };
  } catch (error) {
    await child.close();
    throw error;
  }
}

export interface MockNsmOptions {
  /** What PCR0, PCR1 and PCR2 say. Only an NSM in this process takes them; the hypervisor measures. */
  readonly measurements: EifMeasurements;
  /** The authority that signs; default one of its own, so that no other document has the same root. */
  readonly pki?: MockPki;
  readonly instanceId?: string;
  readonly region?: string;
  readonly parentRoleArn?: string;
  /** Zeroes PCR0, PCR1 and PCR2. Default false. */
  readonly debug?: boolean;
  /** Default the system's clock. */
  readonly now?: () => Date;
  /** Default the system's generator. */
  readonly randomBytes?: (length: number) => Uint8Array;
}

export interface MockNsm {
  readonly device: NsmDevice;
  /** DER. */
  readonly rootCertificate: Uint8Array;
  readonly moduleId: string;
}

/** A software NSM in this process, for tests. */
export async function createMockNsm(options: MockNsmOptions): Promise<MockNsm> {
  const { measurements, debug = false, instanceId = INSTANCE_ID, region = REGION } = options;
  const { parentRoleArn = PARENT_ROLE_ARN, now = () => new Date() } = options;
  const { randomBytes = (length: number) => new Uint8Array(systemRandom(length)) } = options;
  const issuing = { region, instanceId, now, randomBytes };
  const pki = options.pki ?? (await createPki(issuing));
  const moduleId = newModuleId(issuing);
  const boot = { measurements, instanceId, parentRoleArn, debug };
  const nsm = await createSoftwareNsm({ ...boot, pki, moduleId, now, randomBytes });
  return { device: createNsm(nsm.handle, async () => {}), rootCertificate: pki.rootCertificate, moduleId };
}
