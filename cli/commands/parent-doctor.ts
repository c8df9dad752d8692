/**
 * `cloister parent doctor`: what this host lacks, and what to do about it.
 *
 * @module
 */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import type { ParentConfig } from "../../parent/config/parent-config.ts";
import { readParentConfig } from "../../parent/config/read.ts";
import { examineHost } from "../../parent/doctor/doctor.ts";
import { type Finding, type Host, hostFiles } from "../../parent/doctor/finding.ts";
import { EXIT_CODES, isToolkitError } from "../../shared/errors/index.ts";
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
    ...hostFiles({ root: String(root), access: (file) => mayUse(file) }),
    platform: config?.enclave.platform ?? readPlatform(platform, DOCTOR_USAGE),
    nodeVersion: process.version,
    nativeFault,
    ...(config && { wanted: wantedBy(config) }),
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

function wantedBy({ enclave, egress, ingress }: ParentConfig): NonNullable<Host["wanted"]> {
  const doors = egress ? egress.ports.length + (egress.connect === "off" ? 0 : 1) : 0;
  const out = doors * (egress?.limits.maxConnections ?? 1_024);
  const connections = out + (ingress ? (ingress.limits.maxConnections ?? 1_024) : 0);
  if (enclave.kind === "attach") return { connections };
  const { cpus, memoryMiB } = enclave;
  return { connections, cpus, ...(memoryMiB !== undefined && { memoryMiB }) };
}

async function mayUse(path: string): Promise<boolean> {
  return access(join(path), constants.R_OK | constants.W_OK).then(
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
