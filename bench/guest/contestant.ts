/**
 * Runs one contestant for one round: its servers, then its client, whose first line of output is the result.
 *
 * Processes are new in each round, so that none profits from what another has left, and are killed when the contestant
 * is done or has taken too long.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { CONTESTANT_MS, type Group, type Sample } from "./samples.ts";

export interface Server {
  readonly command: readonly string[];
  /** `ready`: a line when it can be asked. `nothing`: who asks finds out. */
  readonly says: "ready" | "nothing";
}

export interface Contestant {
  readonly group: Group;
  readonly name: string;
  readonly servers: readonly Server[];
  readonly client: readonly string[];
}

export async function runOne({ group, name, servers, client }: Contestant): Promise<Omit<Sample, "round">> {
  const children: ChildProcess[] = [];
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${CONTESTANT_MS / 1000} s`)), CONTESTANT_MS);
  });
  // A server that ends has failed: what the client says of it then is less.
  const ends: Promise<never>[] = [late];
  const start = ([file = "", ...args]: readonly string[]): Started => {
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    return follow(child);
  };
  try {
    for (const { command, says } of servers) {
      const { line, ended } = start(command);
      ends.push(ended);
      if (says === "ready") await Promise.race([line, ...ends]);
    }
    const { line, ended } = start(client);
    const result = await Promise.race([line, ended, ...ends]);
    return { group, contestant: name, figures: JSON.parse(result) as Record<string, number> };
  } catch (error) {
    return { group, contestant: name, failure: (error as Error).message.slice(0, 200) };
  } finally {
    clearTimeout(timer);
    await Promise.all(children.map(kill));
  }
}

interface Started {
  /** Its first. */
  readonly line: Promise<string>;
  /** Rejects with why. */
  readonly ended: Promise<never>;
}

function follow(child: ChildProcess): Started {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-4_000);
  });
  const line = new Promise<string>((resolve) => {
    if (child.stdout) createInterface({ input: child.stdout }).once("line", resolve);
  });
  const ended = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      const reason = complaint.split("\n").find((text) => /^(\w*Error\b|plain:|load:)/.test(text)) ?? "";
      reject(new Error(`it ended with ${signal ?? code} ${reason}`.trim()));
    });
  });
  // Those that are killed when all is done end too.
  ended.catch(() => undefined);
  return { line, ended };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
