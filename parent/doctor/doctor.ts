/**
 * Says what a host lacks for a parent, and what to do about it. Reads files and starts nothing.
 *
 * @module
 */
import type { Platform } from "../../shared/launcher.ts";
import type { Finding, Host, Verdict } from "./finding.ts";
import {
  checkDriver,
  checkEnclaveKernel,
  checkMemory,
  checkMetadata,
  checkNitroCli,
  checkProcessors,
  checkVsock,
} from "./nitro.ts";
import { checkClock, checkDescriptors, checkKernel, checkNode } from "./system.ts";

type Check = (host: Host) => Promise<Finding>;

const EVERYWHERE: readonly Check[] = [checkNode, checkKernel, checkDescriptors, checkClock];
const AROUND_NITRO: readonly Check[] = [checkVsock, checkMetadata];
const RUNNING_NITRO: readonly Check[] = [checkDriver, checkMemory, checkProcessors, checkNitroCli, checkEnclaveKernel];

/** Each host is asked what it needs: an emulated enclave needs no driver, one that something else runs no tools. */
function checksOf({ platform, wanted }: Host): readonly Check[] {
  if (platform !== "nitro") return EVERYWHERE;
  const around = [...EVERYWHERE, ...AROUND_NITRO];
  return wanted?.kind === "attach" ? around : [...around, ...RUNNING_NITRO];
}

export interface Diagnosis {
  /** The worst of all. */
  readonly verdict: Verdict;
  readonly platform: Platform;
  readonly findings: readonly Finding[];
}

export async function examineHost(host: Host): Promise<Diagnosis> {
  const findings = await Promise.all(checksOf(host).map((check) => check(host)));
  const verdict = (["fail", "warn"] as const).find((worst) => findings.some((each) => each.verdict === worst)) ?? "ok";
  return { verdict, platform: host.platform, findings };
}
