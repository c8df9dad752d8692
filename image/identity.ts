/**
 * The metadata that our builder writes into an image: who it says it is. Not measured, and the same for each build.
 *
 * @module
 */
import type { EifMetadata } from "../shared/eif/metadata.ts";

/** No build reads a clock. */
export const BUILD_TIME = "1970-01-01T00:00:00Z";

export interface Identity {
  readonly name: string;
  readonly version: string;
  readonly platform: "mock" | "emulated" | "nitro";
  /** Default: none. */
  readonly kernelVersion?: string;
}

export function imageMetadata({ name, version, platform, kernelVersion = "none" }: Identity): EifMetadata {
  return {
    ImageName: name,
    ImageVersion: version,
    BuildMetadata: {
      BuildTime: BUILD_TIME,
      BuildTool: "cloister",
      BuildToolVersion: "0",
      OperatingSystem: platform === "mock" ? "none" : "Linux",
      KernelVersion: kernelVersion,
    },
    DockerInfo: {},
    CustomMetadata: { platform },
  };
}
