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
const ON_NITRO: readonly Check[] = [
  checkDriver,
  checkVsock,
  checkMemory,
  checkProcessors,
  checkNitroCli,
  checkEnclaveKernel,
  checkMetadata,
];

/** Each platform is asked what it needs: an enclave that is emulated needs no driver. */
const CHECKS: Readonly<Record<Platform, readonly Check[]>> = {
  nitro: [...EVERYWHERE, ...ON_NITRO],
  emulated: EVERYWHERE,
  mock: EVERYWHERE,
};

export interface Diagnosis {
  /** The worst of all. */
  readonly verdict: Verdict;
  readonly platform: Platform;
  readonly findings: readonly Finding[];
}

export async function examineHost(host: Host): Promise<Diagnosis> {
  const findings = await Promise.all(CHECKS[host.platform].map((check) => check(host)));
  const verdict = (["fail", "warn"] as const).find((worst) => findings.some((each) => each.verdict === worst)) ?? "ok";
  return { verdict, platform: host.platform, findings };
}
