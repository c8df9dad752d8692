/**
 * The parent as a process of its own, driven over standard input and output (`transport/control.ts`).
 *
 *   start        {peer, enclave?, allowlist, hosts?, credentials, ingress, captureFile?}   →  {ingress}
 *   credentials  the role's credentials from now on                                        →  null
 *   stats        {}                                                                        →  {services, capturedBytes}
 *   logs         {}                                                                        →  {lines}
 *
 * `ingress` goes in as a URL and comes out as the TCP port, or the path of the Unix socket. Credentials come through
 * the pipe, never by argument or environment. The process ends when its input ends.
 *
 * @module
 */
import { parseAddress } from "../shared/transport/address.ts";
import { serveControl } from "../transport/control.ts";
import { createTransport } from "../transport/create.ts";
import type { ContainerCredentials } from "./credentials/credentials.ts";
import { type Capture, openCapture } from "./observability/capture.ts";
import { ADDRESS, checkFields, type FieldRules, LIST, OBJECT, optional, PEER, TEXT } from "./options.ts";
import { type Parent, type ParentOptions, startParent } from "./parent.ts";

interface StartParams extends Pick<ParentOptions, "peer" | "enclave" | "allowlist" | "hosts"> {
  readonly credentials: ContainerCredentials;
  readonly ingress: string;
  /** Where to write every byte that crosses, so that it can be searched. */
  readonly captureFile?: string;
}

const START_RULES: FieldRules<StartParams> = {
  peer: PEER,
  enclave: optional(PEER),
  allowlist: LIST,
  hosts: optional(OBJECT),
  credentials: OBJECT,
  ingress: TEXT,
  captureFile: optional(TEXT),
};
const CREDENTIAL_RULES: FieldRules<ContainerCredentials> = {
  AccessKeyId: TEXT,
  SecretAccessKey: TEXT,
  Token: TEXT,
  Expiration: TEXT,
};
const LINES_MAX = 1_000;

class ParentProcess {
  readonly #lines: string[] = [];
  #parent: Parent | undefined;
  #capture: Capture | undefined;
  #credentials: ContainerCredentials | undefined;
  #starting = false;

  async start(params: unknown): Promise<{ readonly ingress: number | string }> {
    if (this.#starting) throw new TypeError("the parent has been started");
    const { captureFile, ingress, credentials, ...rest } = checkFields(params, START_RULES);
    const listen = parseAddress(ingress);
    checkFields({ ingress: listen }, { ingress: ADDRESS });
    this.setCredentials(credentials);
    this.#starting = true;
    const capture = captureFile === undefined ? undefined : openCapture(captureFile);
    this.#capture = capture;
    const parent = await startParent({
      ...rest,
      transport: createTransport(),
      credentials: () => this.#credentials ?? credentials,
      ingress: listen,
      logSink: (record) => this.#note({ service: "enclave", ...record }),
      log: (event) => this.#note(event),
      ...(capture && { tap: capture.tap }),
    }).catch((error: unknown) => {
      this.#starting = false;
      capture?.[Symbol.dispose]();
      throw error;
    });
    this.#parent = parent;
    const at = parent.ingress;
    return { ingress: at.kind === "unix" ? at.path : at.port };
  }

  setCredentials(params: unknown): void {
    this.#credentials = checkFields(params, CREDENTIAL_RULES, "credentials.");
  }

  stats(): object {
    return { services: this.#parent?.stats() ?? null, capturedBytes: this.#capture?.bytes() ?? 0 };
  }

  logs(): { readonly lines: readonly string[] } {
    return { lines: this.#lines };
  }

  async close(): Promise<void> {
    await this.#parent?.close();
    this.#capture?.[Symbol.dispose]();
  }

  #note(line: object): void {
    this.#lines.push(JSON.stringify(line));
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
  }
}

const parent = new ParentProcess();

serveControl(
  process.stdin,
  process.stdout,
  {
    start: (params) => parent.start(params),
    credentials: (params) => parent.setCredentials(params),
    stats: () => parent.stats(),
    logs: () => parent.logs(),
  },
  () => void parent.close().finally(() => process.exit(0)),
);
