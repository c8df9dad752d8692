/**
 * One emulated AWS: directory, clock, trail and services, behind the host.
 *
 * The attestation verifier is a value in the dependencies; `startMockAws` gives it the project's own.
 *
 * @module
 */
import { makeServerIdentity } from "./certificates.ts";
import { createDirectory } from "./directory.ts";
import { startHost } from "./host.ts";
import { type Fault, FaultQueue } from "./kms/faults.ts";
import { KeyStore } from "./kms/keys.ts";
import type { AttestedClaims, VerifyDocument } from "./kms/recipient.ts";
import { createKms } from "./kms/service.ts";
import { type MockAwsOptions, readOptions, refuseProduction } from "./options.ts";
import type { TrailRecord } from "./trail.ts";

/** The trail keeps the latest of so many records. */
const TRAIL_MAX = 10_000;

/** A running mock AWS on 127.0.0.1. */
export interface MockAws extends AsyncDisposable {
  readonly port: number;
  /** `https://127.0.0.1:<port>`; every service and region answers there. */
  readonly url: string;
  readonly caCertificatePem: string;
  readonly caCertificateDer: Uint8Array;
  /** What was asked of it and why it answered so, oldest first. */
  trail(): readonly TrailRecord[];
  /** Replaces the roots that attestation documents may start at. DER. */
  setAttestationRoots(roots: readonly Uint8Array[]): void;
  /** Moves the emulator's clock against its source; not cumulative. */
  setClockOffsetMs(offsetMs: number): void;
  /** Plays an evil or a busy KMS for the next answers. */
  injectFault(fault: Fault): void;
  /** The latest attestation document that was authentic, as it came: material for replays in tests. */
  lastAttestationDocument(): Uint8Array | undefined;
  close(): Promise<void>;
}

/** Parses a document and authenticates it under the given roots; rejects with `AttestationError`. */
export type AuthenticateDocument = (
  document: Uint8Array,
  roots: readonly Uint8Array[],
  now: Date,
) => Promise<AttestedClaims>;

export interface EmulatorDependencies {
  readonly authenticate: AuthenticateDocument;
  readonly nodeEnv: string | undefined;
  /** Told of what should not happen. */
  readonly onBug: (error: unknown) => void;
}

/** @throws {ConfigError} the options, or production */
export async function startEmulator(options: MockAwsOptions, dependencies: EmulatorDependencies): Promise<MockAws> {
  refuseProduction(dependencies.nodeEnv);
  const settings = readOptions(options);
  const directory = createDirectory(settings.accounts);
  const trust = new Trust(settings.attestationRoots, dependencies.authenticate);
  const records: TrailRecord[] = [];
  const faults = new FaultQueue();
  const recipientRules = { verifyDocument: trust.verify, maxDocumentAgeMs: settings.maxDocumentAgeMs };
  const kms = createKms({ keys: new KeyStore(), faults, directory, recipientRules }, (added) => {
    records.push(...added);
    records.splice(0, records.length - TRAIL_MAX);
  });
  let offsetMs = 0;
  const identity = await makeServerIdentity(settings.regions.map((region) => `kms.${region}.amazonaws.com`));
  const host = await startHost({
    door: { services: [kms], directory, regions: new Set(settings.regions) },
    identity,
    now: () => new Date(settings.now().getTime() + offsetMs),
    port: settings.port,
    requestTimeoutMs: settings.requestTimeoutMs,
    onBug: dependencies.onBug,
  });
  return {
    port: host.port,
    url: `https://127.0.0.1:${host.port}`,
    caCertificatePem: identity.caCertificatePem,
    caCertificateDer: identity.caCertificateDer,
    trail: () => [...records],
    setAttestationRoots: (roots) => trust.replace(roots),
    setClockOffsetMs: (ms) => {
      if (!Number.isFinite(ms)) throw new RangeError(`a clock offset is a number of milliseconds, got ${ms}`);
      offsetMs = ms;
    },
    injectFault: (fault) => faults.inject(fault),
    lastAttestationDocument: () => trust.lastDocument(),
    close: () => host.close(),
    [Symbol.asyncDispose]: () => host.close(),
  };
}

/** The roots of the moment, the verifier under them, and what it last found authentic. */
class Trust {
  #roots: readonly Uint8Array[] = [];
  #lastDocument: Uint8Array | undefined;
  readonly #authenticate: AuthenticateDocument;
  constructor(roots: readonly Uint8Array[], authenticate: AuthenticateDocument) {
    this.#authenticate = authenticate;
    this.replace(roots);
  }

  replace(roots: readonly Uint8Array[]): void {
    this.#roots = roots.map((root) => Uint8Array.from(root));
  }

  readonly verify: VerifyDocument = async (document, now) => {
    const claims = await this.#authenticate(document, this.#roots, now);
    this.#lastDocument = Uint8Array.from(document);
    return claims;
  };

  lastDocument(): Uint8Array | undefined {
    return this.#lastDocument && Uint8Array.from(this.#lastDocument);
  }
}
