/** `cloister aws up` as its users start it: a process of its own, and a client from its environment file. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent } from "node:https";
import { fileURLToPath } from "node:url";
import { KMSClient } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Up {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  /** Resolves with the exit code, or the name of the signal. */
  readonly ended: Promise<number | string | null>;
}

/** Resolves when it is ready, or has ended. */
export async function up(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Up> {
  const child = spawn(process.execPath, [main, "aws", "up", ...args], { env: { ...process.env, ...env } });
  const output = { stdout: "", stderr: "" };
  const ended = new Promise<number | string | null>((done) =>
    child.once("close", (code, signal) => done(code ?? signal)),
  );
  const ready = new Promise<void>((done) => {
    // Two pipes: what was written first need not come first.
    const look = (): void => {
      if (output.stderr.includes("mock AWS listens on") && output.stdout !== "") done();
    };
    child.stdout.on("data", (chunk: Buffer) => {
      output.stdout += chunk.toString();
      look();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      output.stderr += chunk.toString();
      look();
    });
  });
  await Promise.race([ready, ended]);
  return { child, output, ended };
}

export async function stop({ child, ended }: Up, signal: NodeJS.Signals = "SIGTERM"): Promise<number | string | null> {
  child.kill(signal);
  return ended;
}

/** What `. FILE` would set. */
export function readExports(text: string): Readonly<Record<string, string>> {
  const lines = text.split("\n").flatMap((line) => {
    const [, name, value] = /^export (\w+)='(.*)'$/.exec(line) ?? [];
    return name === undefined || value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(lines);
}

export function clientFrom(exports: Readonly<Record<string, string>>): KMSClient {
  const { AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_CA_BUNDLE } = exports;
  const ca = AWS_CA_BUNDLE === undefined ? undefined : readFileSync(AWS_CA_BUNDLE, "utf8");
  return new KMSClient({
    endpoint: AWS_ENDPOINT_URL ?? "",
    region: AWS_REGION ?? "",
    credentials: { accessKeyId: AWS_ACCESS_KEY_ID ?? "", secretAccessKey: AWS_SECRET_ACCESS_KEY ?? "" },
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler(ca === undefined ? {} : { httpsAgent: new Agent({ ca }) }),
  });
}
