/**
 * One emulated AWS: directory, clock, trail, state and services, behind the host.
 *
 * The attestation verifier is a value in the dependencies; `startMockAws` gives it the project's own.
 *
 * @module
 */

import { makeServerIdentity } from "./certificates.ts";
import { type ClockRow, EmulatorClock } from "./clock.ts";
import { createDirectory, type Directory, type MockAccount } from "./directory.ts";
import type { CredentialRow, DirectoryRows } from "./directory-rows.ts";
import { durableService } from "./durable-service.ts";
import { startHost } from "./host.ts";
import { type Fault, FaultQueue } from "./kms/faults.ts";
import type { QuotaOption } from "./kms/quotas.ts";
import { createKms } from "./kms/service.ts";
import { closeKmsState, type KmsState, openKmsState } from "./kms/state.ts";
import {
  LOOPBACK,
  type MockAwsOptions,
  type MockAwsSettings,
  reachableAt,
  readOptions,
  refuseProduction,
} from "./options.ts";
import { endpointHosts } from "./partition.ts";
import { type SeedOutcome, seeder } from "./seed.ts";
import type { MockAwsSeed } from "./seed-file.ts";
import type { Service } from "./service.ts";
import { createServiceQuotas } from "./service-quotas/service.ts";
import { SigningKeys } from "./sigv4/signing-keys.ts";
import type { Database, Snapshot } from "./state/database.ts";
import { openDatabase } from "./state-option.ts";
import { type MockAwsStatus, statusOf } from "./status.ts";
import { createSts } from "./sts/service.ts";
import type { TrailRecord } from "./trail.ts";
import { TrailLog, type TrailQuery } from "./trail-log.ts";
import { type AuthenticateDocument, Trust } from "./trust.ts";

/** A running mock AWS on 127.0.0.1. */
export interface MockAws extends AsyncDisposable {
  readonly port: number;
  /** `https://127.0.0.1:<port>`; every service and region answers there. */
  readonly url: string;
  readonly caCertificatePem: string;
  readonly caCertificateDer: Uint8Array;
  /** Adds an account while it runs: one for each test keeps tests apart. @throws {ConfigError} */
  addAccount(account: MockAccount): void;
  /** Removes an account and its credentials. Its keys stay where they are, and nobody can use them. */
  removeAccount(accountId: string): void;
  /** Adds what a seed names; a second time nothing. `loadSeed` reads files as well. @throws {ConfigError} */
  seed(seed: MockAwsSeed): Promise<SeedOutcome>;
  status(): MockAwsStatus;
  /** What was asked of it and why it answered so, oldest first. */
  trail(query?: TrailQuery): readonly TrailRecord[];
  /** The same as it comes, until the loop is left or the signal aborts. */
  followTrail(query?: TrailQuery, signal?: AbortSignal): AsyncIterable<TrailRecord>;
  /** Replaces the roots that attestation documents may start at. DER. */
  setAttestationRoots(roots: readonly Uint8Array[]): void;
  /** Moves the emulator's clock against its source; not cumulative. */
  setClockOffsetMs(offsetMs: number): void;
  /**
   * Moves the emulator's clock on, and clients' not: rotations and deletions that fall due then happen. By a hundred
   * years in all; it goes with the state: after a restart, in a snapshot.
   */
  advanceClock(ms: number): void;
  setQuotas(quotas: QuotaOption): void;
  /** Plays an evil or a busy KMS for the next answers. */
  injectFault(fault: Fault): void;
  /** The latest attestation document that was authentic, as it came: material for replays in tests. */
  lastAttestationDocument(): Uint8Array | undefined;
  /**
   * Everything as it was when it started, but for the accounts: no keys, sessions, faults, records; its first clock.
   *
   * @throws {TypeError} a seed is on its way, which would go on afterwards
   */
  reset(): void;
  /** Resolves when what was done until now is durable, where the state is. @throws {StateError} */
  flush(): Promise<void>;
  /** Accounts, sessions, keys and how far the clock was advanced. Holds the secrets that they hold. */
  snapshot(): MockAwsSnapshot;
  /** @throws {TypeError} a seed is on its way */
  restore(snapshot: MockAwsSnapshot): void;
  close(): Promise<void>;
}

/** Of use in the process that took it. */
export interface MockAwsSnapshot {
  readonly state: Snapshot;
  readonly directory: DirectoryRows;
}

export interface EmulatorDependencies {
  readonly authenticate: AuthenticateDocument;
  readonly nodeEnv: string | undefined;
  /** Told of what should not happen. */
  readonly onBug: (error: unknown) => void;
}

/** What a running emulator consists of, behind the host. */
interface Parts {
  readonly settings: MockAwsSettings;
  readonly clock: EmulatorClock;
  readonly database: Database;
  readonly directory: Directory;
  readonly kms: KmsState;
  readonly trail: TrailLog;
  readonly trust: Trust;
  readonly services: readonly Service[];
}

/** @throws {ConfigError} the options, or production @throws {StateError} the state's directory */
export async function startEmulator(options: MockAwsOptions, dependencies: EmulatorDependencies): Promise<MockAws> {
  refuseProduction(dependencies.nodeEnv);
  const settings = readOptions(options);
  const database = await openDatabase(settings.state);
  try {
    const parts = assemble(settings, database, dependencies);
    return await serve(parts, dependencies.onBug);
  } catch (error) {
    await database.close();
    throw error;
  }
}

function assemble(settings: MockAwsSettings, database: Database, { authenticate }: EmulatorDependencies): Parts {
  const { accounts, maxSessions } = settings;
  const sessions = database.table<CredentialRow>("sts.sessions");
  const directory = createDirectory(accounts, { maxSessions, sessions });
  const trust = new Trust(settings.attestationRoots, authenticate);
  const trail = new TrailLog();
  const { record } = trail;
  const { maxDocumentAgeMs, maxDocumentFutureMs } = settings;
  const clock = new EmulatorClock(settings.now, database.table<ClockRow>("clock"));
  const ages = { maxDocumentAgeMs, maxDocumentFutureMs };
  const recipientRules = { verifyDocument: trust.verify, ...ages, clientTime: clock.clientTime };
  const regions = new Set(settings.regions);
  const parts = { database, directory, recipientRules, regions, faults: new FaultQueue() };
  const kms = openKmsState({ ...parts, options: settings.kms });
  const flush = (): Promise<void> => database.flush();
  const services = [
    createKms({ state: kms, record }),
    createSts({ directory, record }),
    createServiceQuotas({ quotas: kms.quotas, record }),
  ];
  return {
    ...{ settings, clock, database, directory, kms, trail, trust },
    services: services.map((service) => durableService(service, flush)),
  };
}

async function serve(parts: Parts, onBug: (error: unknown) => void): Promise<MockAws> {
  const { settings, services, directory, clock } = parts;
  const hostNames = services.flatMap(({ signingName }) => endpointHosts(signingName, settings.regions));
  const identity = await makeServerIdentity(hostNames, [...new Set([LOOPBACK, settings.listenOn])]);
  const host = await startHost({
    door: {
      ...{ services, directory, regions: new Set(settings.regions) },
      ...{ maxSkewMs: settings.maxClockSkewMs, signingKeys: new SigningKeys() },
    },
    identity: settings.tls ? identity : undefined,
    listenOn: settings.listenOn,
    maxConnections: settings.maxConnections,
    now: clock.now,
    clientTime: clock.clientTime,
    port: settings.port,
    requestTimeoutMs: settings.requestTimeoutMs,
    onBug,
  });
  const url = `${settings.tls ? "https" : "http"}://${reachableAt(settings.listenOn)}:${host.port}`;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= closeAll(parts, () => host.close());
    return closing;
  };
  return {
    port: host.port,
    url,
    caCertificatePem: identity.caCertificatePem,
    caCertificateDer: identity.caCertificateDer,
    ...controlsOf(parts, url),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function closeAll({ kms, database }: Parts, closeHost: () => Promise<void>): Promise<void> {
  kms.faults[Symbol.dispose]();
  await closeHost();
  await closeKmsState(kms);
  await database.close();
}

type Controls = Omit<
  MockAws,
  "port" | "url" | "caCertificatePem" | "caCertificateDer" | "close" | typeof Symbol.asyncDispose
>;

function controlsOf(parts: Parts, url: string): Controls {
  const { settings, services, clock, database, directory, kms, trail, trust } = parts;
  const initial = database.snapshot();
  const seeds = seeder({ kms, directory, trust, now: clock.now, flush: () => database.flush() });
  const restore = ({ state, directory: rows }: MockAwsSnapshot): void => {
    if (seeds.isBusy()) throw new TypeError("a seed is on its way: wait for it");
    database.restore(state);
    directory.restore(rows);
  };
  return {
    addAccount: (account) => directory.addAccount(account),
    removeAccount: (accountId) => directory.removeAccount(accountId),
    seed: seeds.apply,
    flush: () => database.flush(),
    status: () =>
      statusOf(parts, {
        url,
        now: clock.now().toISOString(),
        state: settings.state ? "durable" : "memory",
        trailRecords: trail.list().length,
      }),
    trail: (query) => trail.list(query),
    followTrail: (query, signal) => trail.follow(query, signal),
    setAttestationRoots: (roots) => trust.replace(roots),
    setClockOffsetMs: (ms) => clock.set(ms),
    advanceClock: (ms) => clock.advance(ms),
    setQuotas: (quotas) => kms.quotas.set(quotas),
    injectFault: (fault) => kms.faults.inject(fault),
    lastAttestationDocument: () => trust.lastDocument(),
    reset: () => {
      restore({ state: initial, directory: { ...directory.snapshot(), sessions: [] } });
      clock.reset();
      trust.replace(settings.attestationRoots);
      kms.quotas.reset();
      kms.faults.clear();
      kms.usage.clear();
      for (const service of services) service.reset?.();
      trail.clear();
    },
    snapshot: () => ({ state: database.snapshot(), directory: directory.snapshot() }),
    restore,
  };
}
