/**
 * The mock AWS as methods over JSON: what its own process answers to. Bytes are base64, times ISO 8601.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { ControlHandlers } from "../../transport/control.ts";
import { injectFault, invalid } from "./control-values.ts";
import type { MockAccount, MockCredential } from "./directory.ts";
import type { MockAws } from "./emulator.ts";
import type { MockAwsOptions } from "./options.ts";

/** `MockAwsOptions` as JSON. */
export interface MockAwsJsonOptions
  extends Pick<MockAwsOptions, "regions" | "maxDocumentAgeMs" | "maxDocumentFutureMs" | "port" | "requestTimeoutMs"> {
  readonly accounts: readonly MockAccountJson[];
  /** Base64 of DER. */
  readonly attestationRoots: readonly string[];
}
export interface MockAccountJson extends Omit<MockAccount, "principals"> {
  readonly principals: readonly MockPrincipalJson[];
}
export interface MockPrincipalJson extends Omit<MockAccount["principals"][number], "credentials"> {
  readonly credentials: readonly (Omit<MockCredential, "expiresAt"> & { readonly expiresAt?: string })[];
}

export interface MockAwsControl {
  readonly handlers: ControlHandlers;
  close(): Promise<void>;
}

/** Methods `start`, `setAttestationRoots`, `setClockOffset`, `injectFault`, `trail`, `lastAttestationDocument`. */
export function mockAwsControl(start: (options: MockAwsOptions) => Promise<MockAws>): MockAwsControl {
  let running: Promise<MockAws> | undefined;
  const started = (): Promise<MockAws> => {
    if (running === undefined)
      throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "start", expected: "called first" });
    return running;
  };
  const handlers: ControlHandlers = {
    start: async ({ options }) => {
      if (running !== undefined) throw invalid("start", "called once", "called again");
      running = start(readJsonOptions(options));
      const { port, caCertificatePem } = await running;
      return { port, caCertificatePem };
    },
    setAttestationRoots: async ({ roots }) => (await started()).setAttestationRoots(readRoots(roots)),
    setClockOffset: async ({ ms }) => {
      if (typeof ms !== "number") throw invalid("ms", "a number of milliseconds", typeof ms);
      (await started()).setClockOffsetMs(ms);
    },
    injectFault: async (params) => injectFault(await started(), params),
    trail: async () => (await started()).trail(),
    lastAttestationDocument: async () => {
      const document = (await started()).lastAttestationDocument();
      return { document: document ? Buffer.from(document).toString("base64") : null };
    },
  };
  return {
    handlers,
    close: async () => {
      // A start that failed has been answered already, and left nothing to close.
      await running?.then(
        (mock) => mock.close(),
        () => undefined,
      );
    },
  };
}

function readJsonOptions(value: unknown): MockAwsOptions {
  if (typeof value !== "object" || value === null) throw invalid("options", "an object", typeof value);
  const { accounts, attestationRoots, ...rest } = value as Partial<MockAwsJsonOptions>;
  if (!Array.isArray(accounts)) throw invalid("options.accounts", "an array", typeof accounts);
  if (!Array.isArray(rest.regions)) throw invalid("options.regions", "an array", typeof rest.regions);
  return {
    ...rest,
    regions: rest.regions as readonly string[],
    attestationRoots: readRoots(attestationRoots),
    accounts: (accounts as readonly MockAccountJson[]).map((account) => ({
      ...account,
      principals: account.principals.map((principal) => ({
        ...principal,
        credentials: principal.credentials.map(({ expiresAt, ...credential }) => ({
          ...credential,
          ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }),
        })),
      })),
    })),
  };
}

function readRoots(value: unknown): readonly Uint8Array[] {
  if (!Array.isArray(value)) throw invalid("roots", "an array of base64 DER", typeof value);
  return value.map((root: unknown) => {
    if (typeof root !== "string") throw invalid("roots", "an array of base64 DER", typeof root);
    return Uint8Array.from(Buffer.from(root, "base64"));
  });
}
