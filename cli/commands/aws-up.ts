/**
 * `cloister aws up`: a mock AWS in the foreground, until it is told to stop.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type ControlSocket, serveControlSocket } from "../../mock/aws/control-socket.ts";
import { readFileInput } from "../../mock/aws/file-input.ts";
import { loadSeed, type MockAws, type MockAwsOptions, type MockAwsSeed, startMockAws } from "../../mock/aws/index.ts";
import { runningControl } from "../../mock/aws/running-control.ts";
import { readSeedFile } from "../../mock/aws/seed-file.ts";
import { type Arguments, readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { type Environment, environmentOf, quote, readEnvironmentPath, writeEnvironment } from "./aws-environment.ts";

const UP_USAGE = `usage: cloister aws up [options]

  starts a mock AWS (KMS, STS, Service Quotas) on 127.0.0.1, prints what clients need, and runs until it is stopped
  --seed FILE        accounts, keys, attestation roots, quotas (schemas/mock-aws-seed.json);
                     without: one account with an administrator, and every attestation document is refused
  --env FILE         writes the exports there (mode 0600), with FILE.ca.pem and FILE.credentials beside it
  --port N           default any free one
  --no-tls           plain HTTP
  --data-dir DIR     keeps keys, aliases and grants there; goes with --passphrase-file
  --passphrase-file FILE   what the state is sealed under, without the line's end; at least 8 characters; a file that
                     nobody else may write to
  --quotas off|aws   throttles as AWS does; default off, or what the seed says
  --control SOCKET   offers status, explain, trail, seed and clock on a Unix socket, in a folder of mode 0700
  --dangerously-listen-on IP   instead of 127.0.0.1: who reaches it holds every key of this AWS

  example: cloister aws up --env aws.env --control /run/user/1000/cloister/aws.sock
           . ./aws.env && aws kms create-key`;

const BANNER = "*** MOCK MODE: this is a mock AWS; its keys and its trust are for tests, not for real data ***";

const PASSPHRASE_MAX = 65_536;

/** Those who name none get some, of the same partition. */
const REGIONS = ["us-east-1", "us-west-2", "eu-central-1", "eu-west-1"];
const ACCOUNTS: NonNullable<MockAwsSeed["accounts"]> = [
  {
    accountId: "111122223333",
    principals: [
      {
        type: "user",
        name: "admin",
        identityPolicies: [{ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] }],
        credentials: "generate",
      },
    ],
  },
];

export async function awsUp(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const files = { seed: string, env: string, control: string, "data-dir": string, "passphrase-file": string };
  const rest = { port: string, quotas: string, "no-tls": boolean, help: boolean, "dangerously-listen-on": string };
  const { values } = readArguments(args, { options: { ...files, ...rest }, operands: 0, usage: UP_USAGE });
  if (values["help"]) {
    print(UP_USAGE);
    return 0;
  }
  if (typeof values["env"] === "string") await readEnvironmentPath(values["env"]); // before anything is made
  const stopped = stopSignal();
  const seed = await readSeed(values);
  const { regions = REGIONS } = seed;
  const options = await readOptions(values, regions);
  tell(BANNER);
  if (options.dangerouslyListenOn !== undefined)
    tell(`*** it listens on ${options.dangerouslyListenOn}: whoever reaches it there holds every key of this AWS ***`);
  await using aws = await startMockAws(options);
  const { credentials } = await loadSeed(aws, seed);
  if (aws.status().attestationRoots.length === 0)
    tell("no attestation roots: every attestation document is refused; a seed can name roots");
  await using control = await openControl(aws, seed, values["control"]);
  const environment = environmentOf(aws, { credentials, region: regions[0] ?? "", control: control?.path });
  await using _offered = await offer(environment, values["env"], print);
  tell(`mock AWS listens on ${aws.url}; stop it with Ctrl-C`);
  await stopped;
  return 0;
}

/** The first signal ends it in order; a second one at once. */
function stopSignal(): Promise<void> {
  return new Promise((done) => {
    const signals = ["SIGINT", "SIGTERM"] as const;
    const stop = (): void => {
      for (const signal of signals) process.off(signal, stop);
      done();
    };
    for (const signal of signals) process.on(signal, stop);
  });
}

async function readSeed(values: Arguments["values"]): Promise<MockAwsSeed> {
  const { seed: file, quotas } = values;
  const given = typeof file === "string" ? await readSeedFile(file) : {};
  if (quotas !== undefined && quotas !== "off" && quotas !== "aws")
    throw new UsageError("--quotas is off or aws", UP_USAGE);
  return { ...given, accounts: given.accounts ?? ACCOUNTS, ...(quotas === undefined ? {} : { quotas }) };
}

async function readOptions(values: Arguments["values"], regions: readonly string[]): Promise<MockAwsOptions> {
  const { port = "0", "data-dir": directory, "passphrase-file": file, "dangerously-listen-on": listenOn } = values;
  if (typeof port !== "string" || !/^[0-9]{1,5}$/.test(port)) throw new UsageError("--port is a number", UP_USAGE);
  if ((directory === undefined) !== (file === undefined))
    throw new UsageError("--data-dir and --passphrase-file go together", UP_USAGE);
  const isDurable = typeof directory === "string" && typeof file === "string";
  return {
    ...{ accounts: [], attestationRoots: [], regions, port: Number(port), tls: values["no-tls"] !== true },
    ...(isDurable ? { state: { directory: resolve(directory), secret: await readPassphrase(file) } } : {}),
    ...(typeof listenOn === "string" ? { dangerouslyListenOn: listenOn } : {}),
  };
}

async function readPassphrase(path: string): Promise<{ readonly kind: "passphrase"; readonly passphrase: string }> {
  const bytes = await readFileInput(path, { maxBytes: PASSPHRASE_MAX, isOwners: true });
  return { kind: "passphrase", passphrase: bytes.toString("utf8").replace(/\r?\n$/, "") };
}

function openControl(
  aws: MockAws,
  seed: MockAwsSeed,
  path: string | boolean | undefined,
): Promise<ControlSocket | undefined> {
  if (typeof path !== "string") return Promise.resolve(undefined);
  return serveControlSocket(path, runningControl(aws, seed));
}

/** As a file that a shell reads, or on standard output with the certificate in a folder of its own. */
async function offer(
  environment: Environment,
  file: string | boolean | undefined,
  print: Terminal["print"],
): Promise<AsyncDisposable> {
  if (typeof file === "string") {
    const { path } = await writeEnvironment(environment, file);
    print(`. ${/^[\w@%+=:,./-]+$/.test(path) ? path : quote(path)}`);
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const folder = await mkdtemp(join(tmpdir(), "cloister-aws-"));
  const removed = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
  try {
    const { text } = await writeEnvironment(environment, join(folder, "env"));
    print(text.trimEnd());
    return removed;
  } catch (error) {
    await removed[Symbol.asyncDispose]();
    throw error;
  }
}
