#!/usr/bin/env node
/**
 * The command line: `cloister <noun> <verb>`; `demo` stands alone, and `vsock-proxy`, which AWS named.
 *
 * Exit codes by kind: 0 accepted · 1 bug · 2 usage · 3 not authentic · 4 authentic but refused by policy · 5 could not
 * reach a peer · 6 this host lacks something.
 *
 * @module
 */
import { createTerminal, report, type Terminal, UsageError } from "./terminal.ts";
import { version } from "./version.ts";

type Command = (args: readonly string[], terminal: Terminal) => Promise<number>;

/** Each command is loaded when it is asked for: verifying a document need not wait for the AWS SDK. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import("./commands/demo.ts")).demo,
  "attest verify": async () => (await import("./commands/attest-verify.ts")).attestVerify,
  "attest inspect": async () => (await import("./commands/attest-inspect.ts")).attestInspect,
  "attest challenge": async () => (await import("./commands/attest-challenge.ts")).attestChallenge,
  "eif build": async () => (await import("./commands/eif-build.ts")).eifBuild,
  "eif rebuild": async () => (await import("./commands/eif-rebuild.ts")).eifRebuild,
  "eif measure": async () => (await import("./commands/eif-measure.ts")).eifMeasure,
  "eif inspect": async () => (await import("./commands/eif-inspect.ts")).eifInspect,
  "eif diff": async () => (await import("./commands/eif-diff.ts")).eifDiff,
  "eif verify": async () => (await import("./commands/eif-verify.ts")).eifVerify,
  "eif sign": async () => (await import("./commands/eif-sign.ts")).eifSign,
  "eif extract": async () => (await import("./commands/eif-extract.ts")).eifExtract,
  "enclave run": async () => (await import("./commands/enclave-run.ts")).enclaveRun,
  "enclave list": async () => (await import("./commands/enclave-list.ts")).enclaveList,
  "enclave describe": async () => (await import("./commands/enclave-describe.ts")).enclaveDescribe,
  "enclave console": async () => (await import("./commands/enclave-console.ts")).enclaveConsole,
  "aws up": async () => (await import("./commands/aws-up.ts")).awsUp,
  "aws status": async () => (await import("./commands/aws-status.ts")).awsStatus,
  "aws explain": async () => (await import("./commands/aws-explain.ts")).awsExplain,
  "aws trail": async () => (await import("./commands/aws-trail.ts")).awsTrail,
  "aws seed": async () => (await import("./commands/aws-seed.ts")).awsSeed,
  "aws clock": async () => (await import("./commands/aws-clock.ts")).awsClock,
  init: async () => (await import("./commands/init.ts")).init,
  "enclave exec": async () => (await import("./commands/enclave-exec.ts")).enclaveExec,
  "data seal": async () => (await import("./commands/data-seal.ts")).dataSeal,
  "data open": async () => (await import("./commands/data-open.ts")).dataOpen,
  "parent up": async () => (await import("./commands/parent-up.ts")).parentUp,
  "parent doctor": async () => (await import("./commands/parent-doctor.ts")).parentDoctor,
  "vsock-proxy": async () => (await import("./commands/vsock-proxy.ts")).vsockProxy,
  "enclave terminate": async () => (await import("./commands/enclave-terminate.ts")).enclaveTerminate,
};

const USAGE = `usage: cloister <command> [options]

  cloister init NAME                                   a project that builds and passes its test at once
  cloister demo                                        the whole story in mock mode
  cloister attest verify FILE|- --policy POLICY.json   decide whether a document proves what a policy demands
  cloister attest inspect FILE|-                       show a document UNVERIFIED
  cloister attest challenge                            a fresh nonce
  cloister eif build --platform P --output FILE ...    make an image, its manifest and its bill of materials
  cloister eif rebuild --check MANIFEST                make it again and compare
  cloister eif measure FILE                            compute an image's PCRs
  cloister eif inspect FILE                            show all that is in an image, and what is not measured
  cloister eif diff LEFT RIGHT                         compare two images, also where their PCRs agree
  cloister eif verify FILE --measurements JSON         decide whether an image is the expected one
  cloister eif sign FILE --certificate PEM --key PEM   write a signed copy
  cloister eif extract FILE FOLDER                     each section into a file
  cloister enclave run FILE --platform P               start an image: nitro, emulated or mock
  cloister enclave list --platform P                   and describe, console, terminate ID
  cloister enclave exec --config FILE -- PROGRAM ...   a program in any language, attested beside it
  cloister data seal FILE --key ARN --context K=V ...  seal a file for an enclave; data open opens one
  cloister parent up --config parent.yaml              the enclave and the services around it, in one process
  cloister parent doctor                               what this host lacks for a parent, and what to do
  cloister vsock-proxy PORT HOST PORT                  in the place of AWS's vsock-proxy
  cloister aws up                                      a local AWS that enforces attestation; --seed FILE, --env FILE
  cloister aws status                                  and explain, trail, seed FILE, clock advance 30d

  --help with a command explains it; --version; --debug shows the stack of an error
  exit codes: 0 accepted, 1 bug, 2 usage, 3 not authentic, 4 refused by policy, 5 unreachable, 6 host lacks something`;

async function main(argv: readonly string[]): Promise<number> {
  const terminal = createTerminal({ debug: argv.includes("--debug") });
  const args = argv.filter((argument) => argument !== "--debug");
  if (args.length === 0 || args[0] === "--help" || args[0] === "help" || args[1] === "--help") {
    if (!COMMANDS[args[0] ?? ""]) {
      terminal.print(USAGE);
      return args.length === 0 ? 2 : 0;
    }
  }
  if (args[0] === "--version") {
    terminal.print(await version());
    return 0;
  }
  try {
    for (const words of [2, 1]) {
      const name = args.slice(0, words).join(" ");
      const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
      if (load) return await (await load())(args.slice(words), terminal);
    }
    throw new UsageError(`no command ${args.slice(0, 2).join(" ")}`, USAGE);
  } catch (error) {
    return report(error, terminal);
  }
}

// The SDK's notice about future Node versions would stand between the lines of a result.
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
process.exitCode = await main(process.argv.slice(2));
