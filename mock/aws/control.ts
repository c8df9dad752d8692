/**
 * The mock AWS as methods over JSON: what its own process answers to. Bytes are base64, times ISO 8601.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { ControlHandlers } from "../../transport/control.ts";
import { invalidField, readInstant } from "./config-field.ts";
import { assertFields, injectFault, readRoot } from "./control-values.ts";
import type { MockAccount, MockCredential } from "./directory.ts";
import type { MockAws } from "./emulator.ts";
import type { MockAwsOptions } from "./options.ts";

const PLAIN_OPTIONS = ["regions", "maxDocumentAgeMs", "maxDocumentFutureMs", "port", "requestTimeoutMs"] as const;

/** `MockAwsOptions` as JSON; those that are not named here are refused. */
export interface MockAwsJsonOptions extends Pick<MockAwsOptions, (typeof PLAIN_OPTIONS)[number]> {
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
      if (running !== undefined) throw invalidField("start", "called once", "called again");
      running = start(readJsonOptions(options));
      const { port, caCertificatePem } = await running;
      return { port, caCertificatePem };
    },
    setAttestationRoots: async ({ roots }) => (await started()).setAttestationRoots(readRoots(roots)),
    setClockOffset: async ({ ms }) => {
      if (typeof ms !== "number") throw invalidField("ms", "a number of milliseconds", typeof ms);
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
  if (typeof value !== "object" || value === null) throw invalidField("options", "an object", typeof value);
  assertFields(value, [...PLAIN_OPTIONS, "accounts", "attestationRoots"], "options");
  const { accounts, attestationRoots, ...rest } = value as Partial<MockAwsJsonOptions>;
  if (!Array.isArray(accounts)) throw invalidField("options.accounts", "an array", typeof accounts);
  if (!Array.isArray(rest.regions)) throw invalidField("options.regions", "an array", typeof rest.regions);
  return {
    ...rest,
    regions: rest.regions as readonly string[],
    attestationRoots: readRoots(attestationRoots),
    accounts: (accounts as readonly MockAccountJson[]).map((account, i) => ({
      ...account,
      principals: account.principals.map((principal, j) => ({
        ...principal,
        credentials: principal.credentials.map(({ expiresAt, ...credential }) => ({
          ...credential,
          ...(expiresAt === undefined
            ? {}
            : { expiresAt: readInstant(expiresAt, `options.accounts[${i}].principals[${j}].expiresAt`) }),
        })),
      })),
    })),
  };
}

function readRoots(value: unknown): readonly Uint8Array[] {
  if (!Array.isArray(value)) throw invalidField("roots", "an array of base64 DER", typeof value);
  return value.map((root: unknown, i) => {
    if (typeof root !== "string") throw invalidField(`roots[${i}]`, "base64 of DER", typeof root);
    return readRoot(root, `roots[${i}]`);
  });
}
