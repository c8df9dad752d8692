/**
 * What an application has inside an enclave: KMS, sealed data, attestation, log, clock, and the ways out.
 *
 * Every way out goes through the parent and trusts the image's roots alone; none exists beside these. What needs a sound
 * enclave asks the doctor first, so that a clock that went astray ends TLS and KMS by name.
 *
 * @module
 */
import type { Agent } from "node:https";
import type { Duplex } from "node:stream";
import { inspect } from "node:util";
import type { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import {
  type AttestationPolicy,
  encodeUserData,
  type TrustAnchor,
  type VerifiedAttestation,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import type { ByteStream } from "../../shared/envelope/byte-source.ts";
import { type OpenStreamOptions, openStream, type Rereadable } from "../../shared/envelope/open-stream.ts";
import { type SealStreamOptions, sealStream } from "../../shared/envelope/seal-stream.ts";
import { type OpenOptions, open, type SealOptions, seal } from "../../shared/envelope/sealed.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import type { QuestionAndResult, SignedResultJson } from "../../shared/result/signed-result.ts";
import type { Peer } from "../../shared/transport/address.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Doctor } from "../doctor/doctor.ts";
import { connectThroughParent } from "../egress/connect.ts";
import { createFetch, type EgressFetch } from "../egress/fetch.ts";
import { type AwsCredentials, createEgressAgent, type EnclaveLog, parentCredentials } from "../egress/index.ts";
import { createAttestedKms } from "../kms/client.ts";
import { kmsFailure } from "../kms/failures.ts";
import { createRecipientKeys } from "../kms/recipient-keys.ts";
import { createResultSigner } from "../result.ts";
import { signAnswer } from "./signed-answer.ts";

export interface EnclaveEnv<Config = unknown, ParentConfig = unknown> {
  /** The image's own configuration, part of its measurement, as `readConfig` gave it. */
  readonly config: Config;
  /** What the parent handed in, measured into PCR16, as `parentConfig.read` gave it. */
  readonly parentConfig: ParentConfig;
  /** The AWS SDK's KMS client, attested; one for each region. */
  kms(region: string): KMS;
  /** Seals in the AWS Encryption SDK's format. @throws {KmsError} */
  seal(plaintext: Uint8Array, options: Omit<SealOptions, "kms">): Promise<Uint8Array>;
  /** Opens what was sealed under the same key and context. @throws {KmsError} @throws {DataError} */
  open(message: Uint8Array, options: Omit<OpenOptions, "kms">): Promise<Uint8Array>;
  /** The same of streams, in bounded memory: `sealStream`. */
  sealStream(source: ByteStream, options: Omit<SealStreamOptions, "kms">): AsyncGenerator<Uint8Array, void>;
  /** The same of streams: `openStream` says what a stream that breaks off has given by then. */
  openStream(
    source: ByteStream | Rereadable,
    options: Omit<OpenStreamOptions, "kms">,
  ): AsyncGenerator<Uint8Array, void>;
  /** An attestation document whose `user_data` names a purpose of the application's. @throws {NsmError} */
  attest(request: AttestRequest): Promise<Uint8Array>;
  /** Verifies another enclave's document under the roots of this image. @throws {AttestationError} */
  verify(document: Uint8Array, policy: Omit<AttestationPolicy, "roots">): Promise<VerifiedAttestation>;
  /** Signs a result with a key that lives in this enclave only, and attests that key. @throws {NsmError} */
  sign(answer: QuestionAndResult, nonce: Uint8Array): Promise<SignedResultJson>;
  /** Answers a request that carries a challenge with a signed result, as `createEnclaveClient` verifies it. */
  answer(request: Request, compute: () => unknown): Promise<Response>;
  /** Goes to the parent in clear: names, counts and codes, never data. */
  readonly log: Pick<EnclaveLog, "write" | "dropped">;
  /** The time, corrected by NSM's. */
  now(): Date;
  /** Milliseconds by a clock that only goes forward. */
  monotonicMs(): number;
  /** The web standard's `fetch`, https only, through the parent. @throws {TransportError} */
  readonly fetch: EgressFetch;
  /** For Node's `https`, and whatever takes an agent. */
  readonly agent: Agent;
  /** A tunnel to an allowed host; bytes go as they are, so put TLS into it. @throws {TransportError} */
  connect(host: string, port: number, options?: { readonly signal?: AbortSignal }): Promise<Duplex>;
  /** For any client of the AWS SDK: `new S3Client({ region, requestHandler: env.requestHandler, … })`. */
  readonly requestHandler: NodeHttpHandler;
  /** The role's credentials, from the parent: `new S3Client({ credentials: env.credentials, … })`. */
  readonly credentials: () => Promise<AwsCredentials>;
}

export interface AttestRequest {
  /** A word of the application's own; those that this toolkit uses are refused. */
  readonly purpose: string;
  /** SHA-384 of what the document vouches for, 48 bytes. */
  readonly digest: Uint8Array;
  /** The challenge it answers. */
  readonly nonce?: Uint8Array;
  readonly publicKey?: Uint8Array;
}

/** A document for one of these, made at the word of an application, could stand for what it never vouched for. */
const OWN_PURPOSES = ["kms", "tls", "result", "peer", "request"];
const CONNECT_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;

export interface EnvParts<Config, ParentConfig> {
  readonly config: Config;
  readonly parentConfig: ParentConfig;
  readonly transport: Transport;
  readonly parent: Peer;
  readonly nsm: NsmDevice;
  readonly attestationRoots: readonly TrustAnchor[];
  readonly tlsRoots: readonly string[];
  readonly doctor: Pick<Doctor, "now" | "assertSound">;
  readonly log: EnclaveLog;
}

/** Its `close` ends connections that are kept; documents and keys end with the process. */
export async function createEnv<Config, ParentConfig>(
  parts: EnvParts<Config, ParentConfig>,
): Promise<EnclaveEnv<Config, ParentConfig> & { close(): void }> {
  const { config, parentConfig, transport, parent, nsm, tlsRoots, doctor, log } = parts;
  const agent = createEgressAgent({ transport, parent, tlsRoots, permit: () => doctor.assertSound() });
  const credentials = parentCredentials({ transport, parent, now: () => doctor.now() });
  const kms = createKmsClients({ agent, credentials, nsm });
  const signer = await createResultSigner(nsm);
  const withKms = <Options extends { readonly keyArn: string }>(options: Options): Options & { readonly kms: KMS } => ({
    ...options,
    kms: kms.of(regionOf(options.keyArn)),
  });
  return {
    ...{ config, parentConfig, agent, credentials, log },
    kms: (region) => kms.of(region),
    seal: (plaintext, options) => named("GenerateDataKey", () => seal(plaintext, withKms(options))),
    open: (message, options) => named("Decrypt", () => open(message, withKms(options))),
    sealStream: (source, options) => sealStream(source, withKms(options)),
    openStream: (source, options) => openStream(source, withKms(options)),
    attest: ({ purpose, digest, ...request }) => {
      if (OWN_PURPOSES.includes(purpose)) throw new TypeError(`${purpose} is a purpose of the toolkit's own`);
      return nsm.attest({ ...request, userData: encodeUserData({ purpose, digest }) });
    },
    verify: async (document, policy) => {
      const [first, ...others] = parts.attestationRoots;
      if (!first) throw new TypeError("the image names a root or more");
      return verifyAttestation(document, { ...policy, roots: [first, ...others] }, { now: doctor.now() });
    },
    sign: (answer, nonce) => signer.sign(answer, nonce),
    answer: async (request, compute) => Response.json(await signAnswer(request, { signer, compute })),
    now: () => doctor.now(),
    monotonicMs: () => performance.now(),
    fetch: createFetch({ agent }),
    connect: async (host, port, options = {}) => {
      doctor.assertSound();
      return connectThroughParent({ transport, parent, host, port, ...options });
    },
    requestHandler: new SharedRequestHandler({
      httpsAgent: agent,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    }),
    close: () => {
      kms.close();
      agent.destroy();
    },
    ...{ [inspect.custom]: () => "[the enclave's environment]" },
  };
}

/** One client that is destroyed must not end the connections of all. */
class SharedRequestHandler extends NodeHttpHandler {
  override destroy(): void {}
}

interface KmsParts {
  readonly agent: Agent;
  readonly credentials: () => Promise<AwsCredentials>;
  readonly nsm: NsmDevice;
}

function createKmsClients({ agent, credentials, nsm }: KmsParts): { of(region: string): KMS; close(): void } {
  const keys = createRecipientKeys();
  const clients = new Map<string, KMS>();
  return {
    of(region) {
      const client = clients.get(region) ?? createAttestedKms({ region, agent, credentials, nsm, keys });
      clients.set(region, client);
      return client;
    },
    close: () => {
      for (const client of clients.values()) client.destroy();
    },
  };
}

function regionOf(keyArn: string): string {
  return keyArn.split(":")[3] ?? "";
}

/** The SDK's exceptions as refusals by name; a programmer's mistake stays one. */
async function named<Value>(operation: string, call: () => Promise<Value>): Promise<Value> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof TypeError || error instanceof RangeError ? error : kmsFailure(operation, error);
  }
}
