/**
 * Partitions of AWS, and the host names under which a service answers in a region.
 *
 *   kms.eu-central-1.amazonaws.com      kms-fips.us-east-1.amazonaws.com      kms.cn-north-1.amazonaws.com.cn
 *   kms.eu-central-1.api.aws            (dual stack)                          sts.amazonaws.com is us-east-1
 *
 * Source: AWS General Reference, "AWS service endpoints"; IAM User Guide, "Amazon Resource Names".
 *
 * @module
 */
import type { Partition } from "./iam/principal.ts";

/** What a host name of AWS says. */
export interface Endpoint {
  readonly service: string;
  readonly region: string;
}

interface Suffixes {
  readonly plain: string;
  readonly dualStack: string;
}

const SUFFIXES: Readonly<Record<Partition, Suffixes>> = {
  aws: { plain: "amazonaws.com", dualStack: "api.aws" },
  "aws-us-gov": { plain: "amazonaws.com", dualStack: "api.aws" },
  "aws-cn": { plain: "amazonaws.com.cn", dualStack: "api.amazonwebservices.com.cn" },
};

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/;

/** The one region behind a host name without any. */
const GLOBAL_REGION = "us-east-1";
const GLOBAL_HOSTS: ReadonlyMap<string, Endpoint> = new Map([
  ["sts.amazonaws.com", { service: "sts", region: GLOBAL_REGION }],
]);

export const PARTITIONS: readonly Partition[] = ["aws", "aws-cn", "aws-us-gov"];

export function isRegion(name: string): boolean {
  return REGION.test(name);
}

export function partitionOf(region: string): Partition {
  if (region.startsWith("cn-")) return "aws-cn";
  return region.startsWith("us-gov-") ? "aws-us-gov" : "aws";
}

/** Reads a `Host` header; nothing for a name that is not AWS's, such as an address on loopback. */
export function readEndpoint(host: string): Endpoint | undefined {
  const name = host.replace(/:[0-9]+$/, "").toLowerCase();
  const global = GLOBAL_HOSTS.get(name);
  if (global) return global;
  const [, service = "", region = "", suffix] =
    /^([a-z0-9-]+?)(?:-fips)?\.([a-z0-9-]+)\.([a-z0-9.-]+)$/.exec(name) ?? [];
  if (!isRegion(region)) return undefined;
  const { plain, dualStack } = SUFFIXES[partitionOf(region)];
  return suffix === plain || suffix === dualStack ? { service, region } : undefined;
}

/** Every host name of a service in the regions: what a server certificate must be good for. */
export function endpointHosts(service: string, regions: Iterable<string>): readonly string[] {
  const hosts = [...regions].flatMap((region) => {
    const { plain, dualStack } = SUFFIXES[partitionOf(region)];
    return [service, `${service}-fips`].flatMap((first) => [
      `${first}.${region}.${plain}`,
      `${first}.${region}.${dualStack}`,
    ]);
  });
  const global = [...GLOBAL_HOSTS].filter(([, endpoint]) => endpoint.service === service).map(([host]) => host);
  return [...hosts, ...global];
}
