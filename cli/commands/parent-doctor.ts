/**
 * `cloister parent doctor`: what this host lacks, and what to do about it.
 *
 * @module
 */
import { access } from "node:fs/promises";
import { inspectEifFile } from "../../image/file.ts";
import type { ParentConfig, RunEnclave } from "../../parent/config/parent-config.ts";
import { readParentConfig } from "../../parent/config/read.ts";
import { examineHost } from "../../parent/doctor/doctor.ts";
import { type Finding, type Host, hostFiles, type ImageNeed, type Wanted } from "../../parent/doctor/finding.ts";
import { EXIT_CODES, isToolkitError } from "../../shared/errors/index.ts";
import { imageFactsOf } from "../../shared/image-facts.ts";
import { minimumMemoryMiB } from "../../shared/launcher.ts";
import { loadNative } from "../../transport/native.ts";
import { readArguments } from "../arguments.ts";
import type { Style, Terminal } from "../terminal.ts";
import { readPlatform } from "./enclave-launcher.ts";

const DOCTOR_USAGE = `usage: cloister parent doctor [--config FILE | --platform nitro|emulated|mock] [options]

  says what this host lacks for a parent, and what to do; reads, and changes nothing
  --config FILE      asks for what this parent.yaml needs; else --platform, default nitro
  --root DIR         another tree of files than /
  --json

  exit code 6 when something fails; warnings are told and do not count

  example: cloister parent doctor --config parent.yaml`;

const STYLES: Readonly<Record<Finding["verdict"], Style>> = { ok: "green", warn: "yellow", fail: "red" };

export async function parentDoctor(args: readonly string[], { print, paint }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const options = { config: string, platform: string, root: string, json: boolean, help: boolean };
  const { values } = readArguments(args, { options, operands: 0, usage: DOCTOR_USAGE });
  if (values["help"]) {
    print(DOCTOR_USAGE);
    return 0;
  }
  const { config: path, platform = "nitro", root = "/" } = values;
  const config = typeof path === "string" ? await readParentConfig(path) : undefined;
  const host: Host = {
    ...hostFiles({ root: String(root), access: mayUse }),
    platform: config?.enclave.platform ?? readPlatform(platform, DOCTOR_USAGE),
    nodeVersion: process.version,
    nativeFault,
    searchPath: process.env["PATH"] ?? "",
    ...(config && { wanted: await wantedBy(config) }),
  };
  const diagnosis = await examineHost(host);
  if (values["json"]) print(JSON.stringify(diagnosis));
  else {
    for (const { check, verdict, found, todo } of diagnosis.findings) {
      print(`${paint(STYLES[verdict], verdict.padEnd(4))}  ${check.padEnd(14)}  ${found}`);
      if (todo !== undefined && verdict !== "ok") print(`${" ".repeat(22)}→ ${todo}`);
    }
  }
  return diagnosis.verdict === "fail" ? EXIT_CODES["host lacks"] : 0;
}

async function wantedBy({ enclave, egress, ingress }: ParentConfig): Promise<Wanted> {
  const doors = egress ? egress.ports.length + (egress.connect === "off" ? 0 : 1) : 0;
  const out = doors * (egress?.limits.maxConnections ?? 1_024);
  const connections = out + (ingress ? (ingress.limits.maxConnections ?? 1_024) : 0);
  if (enclave.kind === "attach") return { kind: "attach", connections };
  const { cpus, memoryMiB } = enclave;
  return { kind: "run", cpus, memoryMiB, image: await needOf(enclave), connections };
}

async function needOf({ image }: RunEnclave): Promise<ImageNeed> {
  try {
    return { kind: "known", minimumMiB: minimumMemoryMiB(imageFactsOf(await inspectEifFile(image))) };
  } catch (error) {
    if (!isToolkitError(error)) throw error;
    return { kind: "unknown", code: error.code };
  }
}

async function mayUse(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

function nativeFault(): string | undefined {
  try {
    loadNative({ address: "vsock" });
    return undefined;
  } catch (error) {
    if (isToolkitError(error) && "reason" in error.details) return String(error.details.reason);
    throw error;
  }
}
