/**
 * What the `aws` commands share: how they find and ask the mock AWS that `aws up` started.
 *
 * @module
 */
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { RemoteError, TransportError } from "../../shared/errors/index.ts";
import { ControlClient, ControlError } from "../../transport/control.ts";
import { type Arguments, readArguments } from "../arguments.ts";
import { type Terminal, UsageError, withHint } from "../terminal.ts";

export const CONTROL_OPTION = `  --control SOCKET   of aws up; default $CLOISTER_AWS_CONTROL, which its exports set,
                     then $XDG_RUNTIME_DIR/cloister/aws.sock`;

const HINT = "start it with `aws up --control SOCKET`; its exports (`. FILE` of --env FILE) name the socket";

export interface AwsCommand {
  readonly usage: string;
  readonly operands: number;
  readonly options?: Readonly<Record<string, { readonly type: "string" | "boolean" }>>;
}

/** Asks the mock AWS; the answer's type is the caller's word. */
export type Ask = <Result>(method: string, params?: object) => Promise<Result>;

/** Reads the arguments, connects, does the work; help needs no connection. */
export async function askingAws(
  args: readonly string[],
  { command, print }: { readonly command: AwsCommand; readonly print: Terminal["print"] },
  work: (read: Arguments, ask: Ask) => Promise<number>,
): Promise<number> {
  const { usage, operands, options = {} } = command;
  const shared = { control: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean" } } as const;
  const read = readArguments(args, { options: { ...shared, ...options }, operands, usage });
  if (read.values["help"]) {
    print(usage);
    return 0;
  }
  const path = socketPath(read.values["control"], usage);
  const address = `unix://${path}`;
  const socket = connect(path);
  try {
    await once(socket, "connect");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? "unreachable";
    throw withHint(new TransportError("ERR_TRANSPORT_UNREACHABLE", { address, reason }, { cause }), HINT);
  }
  const client = new ControlClient(socket, socket);
  const ask: Ask = <Result>(method: string, params: object = {}) =>
    client.call<Result>(method, params).catch((error: unknown) => refuse(error, address));
  try {
    return await work(read, ask);
  } finally {
    socket.destroy();
  }
}

function socketPath(given: string | boolean | undefined, usage: string): string {
  if (typeof given === "string") return given;
  const { CLOISTER_AWS_CONTROL, XDG_RUNTIME_DIR } = process.env;
  if (CLOISTER_AWS_CONTROL) return CLOISTER_AWS_CONTROL;
  if (XDG_RUNTIME_DIR) return join(XDG_RUNTIME_DIR, "cloister", "aws.sock");
  throw withHint(new UsageError("there is no control socket to ask", usage), HINT);
}

function refuse(error: unknown, address: string): never {
  if (error instanceof ControlError) {
    const { code, message, details } = error;
    if (code.startsWith("ERR_CONFIG")) throw new RemoteError(code, "usage", message, details);
    if (code.startsWith("ERR_STATE")) throw new RemoteError(code, "host lacks", message, details);
    throw error;
  }
  throw new TransportError("ERR_TRANSPORT_CLOSED", { address }, { cause: error });
}
