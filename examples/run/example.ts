/**
 * What an example is, and what its story is told with.
 *
 * @module
 */
import type { KMS } from "@aws-sdk/client-kms";
import type { Story } from "../../cli/demo/story.ts";
import type { AttestedFetchInit } from "../../client/attested-fetch.ts";
import type { EnclavePolicy } from "../../shared/session/bound-document.ts";
import type { Registers } from "./release-policy.ts";

/** A module `story.ts` exports one as `example`. */
export interface Example {
  /** What KMS may do for the enclave, and for it alone. Left out, there is no key. */
  readonly enclaveMay?: readonly string[];
  /** What the parent hands to the enclave. It is measured, and both the key and the client demand just this. */
  readonly configuration?: (setting: { readonly keyArn: string; readonly region: string }) => object;
  /** Servers that the enclave reaches through its parent. */
  readonly servers?: () => Promise<Servers>;
  readonly tell: (stage: Stage) => Promise<void>;
}

export interface Servers extends AsyncDisposable {
  /** Target that the enclave asks for, as `host:port` → the port of this machine. */
  readonly hosts: Readonly<Record<string, number>>;
  /** PEM; goes into the image. */
  readonly tlsRoot: string;
  /** Texts that lie beside the application in its image. */
  readonly files?: Readonly<Record<string, string>>;
}

/** `administrator` and `owner` are the data owner's; `enclave` is the parent's role, whose credentials it hands in. */
export type Role = "administrator" | "owner" | "enclave";

type Init = Omit<AttestedFetchInit, "policy" | "agent"> & { readonly policy?: EnclavePolicy };

export interface Stage {
  readonly story: Story;
  /** What the client demands: this image, with this configuration. */
  readonly policy: EnclavePolicy;
  readonly registers: Registers;
  readonly keyArn: string;
  /**
   * Asks the enclave, through the parent, once it has proved to be what the policy demands.
   *
   * @throws {RemoteError} it answered with a refusal
   */
  ask(path: string, init?: Init): Promise<Response>;
  /** The plain AWS SDK outside the enclave, under a role. */
  kms(role: Role): KMS;
  /** Lets the key go to an image with these registers, and to nothing else. */
  gate(registers: Registers): Promise<void>;
  /** A step: none of these crossed the parent in clear, or stands in its log; what it does carry in clear was found. */
  unseen(title: string, secrets: Readonly<Record<string, Uint8Array | string>>): Promise<void>;
  /** An attempt at what must be refused: `Story.attack`, also for what the AWS SDK throws. */
  refused(title: string, code: string, attempt: () => Promise<unknown>): Promise<void>;
}
