/**
 * The data owner's AWS account in an emulated AWS, which is a process of its own: three roles, and one key whose policy
 * opens nothing until an image is named.
 *
 * @module
 */
import { Agent } from "node:https";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { roleArn, type Session } from "../../cli/demo/cast.ts";
import { newCredentials } from "../../mock/index.ts";
import { closedKeyPolicy } from "../../shared/policy/key-policy.ts";
import { type ControlledProcess, startControlled } from "../../transport/control.ts";
import type { Role } from "./example.ts";
import { type Registers, releasePolicy } from "./release-policy.ts";

export const REGION = "eu-central-1";
const ACCOUNT = "111122223333";
/** The parts that they have in the demo as well. */
const ROLES = { administrator: "key-admin", owner: "sealer", enclave: "enclave-host" } as const;

export class Cloud implements AsyncDisposable {
  readonly port: number;
  /** PEM of the root that its servers' certificates end in. */
  readonly tlsRoot: string;
  readonly #process: ControlledProcess;
  readonly #sessions: Readonly<Record<Role, Session>>;
  readonly #agent: Agent;

  private constructor(started: Started, process: ControlledProcess, sessions: Readonly<Record<Role, Session>>) {
    this.port = started.port;
    this.tlsRoot = started.caCertificatePem;
    this.#process = process;
    this.#sessions = sessions;
    this.#agent = new Agent({ ca: this.tlsRoot, keepAlive: true });
  }

  /** @param attestationRoot DER of the root that documents may start at */
  static async start(attestationRoot: Uint8Array): Promise<Cloud> {
    const process = startControlled(new URL("../../mock/aws/process.js", import.meta.url));
    const sessions = { administrator: newCredentials(), owner: newCredentials(), enclave: newCredentials() };
    const principals = (["administrator", "owner", "enclave"] as const).map((role) => ({
      ...{ type: "role", name: ROLES[role], identityPolicies: [EVERYTHING], credentials: [sessions[role]] },
    }));
    const options = {
      accounts: [{ accountId: ACCOUNT, principals }],
      regions: [REGION],
      attestationRoots: [Buffer.from(attestationRoot).toString("base64")],
    };
    try {
      return new Cloud(await process.call<Started>("start", { options }), process, sessions);
    } catch (error) {
      await process.close();
      throw error;
    }
  }

  kms(role: Role): KMS {
    return new KMS({
      region: REGION,
      endpoint: `https://127.0.0.1:${this.port}`,
      credentials: this.#sessions[role],
      maxAttempts: 1,
      requestHandler: new NodeHttpHandler({ httpsAgent: this.#agent }),
    });
  }

  /** What the parent hands to the enclave, in the form of its file. */
  get credentialsFile(): object {
    const { accessKeyId, secretAccessKey, sessionToken } = this.#sessions.enclave;
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    return { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken, Expiration };
  }

  /** Its ARN. Until `gate` nobody may use it. */
  async createKey(): Promise<string> {
    const Policy = JSON.stringify(closedKeyPolicy(roleArn(ACCOUNT, ROLES.administrator)));
    const { KeyMetadata } = await this.kms("administrator").createKey({ Policy });
    if (!KeyMetadata?.Arn) throw new TypeError("CreateKey answers with an ARN");
    return KeyMetadata.Arn;
  }

  async gate(keyArn: string, registers: Registers, enclaveMay: readonly string[]): Promise<void> {
    const policy = releasePolicy({
      administrator: roleArn(ACCOUNT, ROLES.administrator),
      owner: roleArn(ACCOUNT, ROLES.owner),
      enclaveRole: roleArn(ACCOUNT, ROLES.enclave),
      ...{ enclaveMay, registers },
    });
    await this.kms("administrator").putKeyPolicy({ KeyId: keyArn, Policy: JSON.stringify(policy) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.#process.close();
  }
}

interface Started {
  readonly port: number;
  readonly caCertificatePem: string;
}

/** Each role may ask for anything: the key's own policy decides. */
const EVERYTHING = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: ["kms:*"], Resource: "*" }],
};
