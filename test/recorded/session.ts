/**
 * What a recipe works with: unmodified SDK clients, and a notebook in which each answer takes the shape that the
 * recordings have.
 *
 *   success   the output's members and `ResponseMetadata`
 *   error     `Error` with Code and Message, and `message` where the error is one the service's model has
 *
 * The bytes on the wire are read along: members that a client would silently drop are part of the answer.
 *
 * @module
 */
import * as kmsModel from "@aws-sdk/client-kms";
import { KMS } from "@aws-sdk/client-kms";
import { STS } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import type { Cloud, SigningCredentials } from "./cloud.ts";

export type Captures = Readonly<Record<string, string>>;

export interface Answer {
  readonly value: unknown;
  /** What placeholders stand for in this answer, as far as the recipe knows. */
  readonly captures: Captures;
}

/** One recording's requests. */
export interface Recipe {
  /** The recording's name, whole. */
  readonly id: string;
  /** Makes the calls in the recording's order and notes each answer under the recording's name for it. */
  readonly run: (aws: Session) => Promise<void>;
}

interface WireResponse {
  readonly statusCode: number;
  readonly body: string;
}
interface Configuration {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: SigningCredentials;
  readonly maxAttempts: number;
  readonly requestHandler: NodeHttpHandler;
}
interface SdkOutput {
  readonly $metadata: { readonly httpStatusCode?: number | undefined };
}

export class Session {
  readonly answers: Map<string, Answer> = new Map();
  readonly region = "us-east-1";
  readonly secondaryRegion = "ap-southeast-1";
  readonly #cloud: Cloud;
  readonly #handler: NodeHttpHandler;
  #wire: WireResponse = { statusCode: 0, body: "" };

  constructor(cloud: Cloud) {
    this.#cloud = cloud;
    this.#handler = new NodeHttpHandler({ httpsAgent: cloud.agent });
    const handle = this.#handler.handle.bind(this.#handler);
    this.#handler.handle = async (request, options) => {
      const result = await handle(request, options);
      const chunks: Uint8Array[] = [];
      for await (const chunk of result.response.body) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      this.#wire = { statusCode: result.response.statusCode, body: bytes.toString("utf8") };
      result.response.body = bytes;
      return result;
    };
  }

  kms(region: string = this.region): KMS {
    return new KMS(this.#configuration(region, this.#cloud.credentials));
  }

  sts(credentials: SigningCredentials = this.#cloud.credentials): STS {
    return new STS(this.#configuration(this.region, credentials));
  }

  /** The role's ARN; the cloud was started with it. */
  roleArn(name: string): string {
    return `arn:aws:iam::${this.#cloud.accountId}:role/${name}`;
  }

  /** Notes a call's answer and gives the output back; an error is noted and ends the recipe. */
  async answer<Output extends SdkOutput>(
    name: string,
    call: Promise<Output>,
    captures: Captures = {},
  ): Promise<Output> {
    const output = await this.#noted(name, call, captures);
    if (output === undefined) throw new Error(`${name} was refused`);
    return output;
  }

  /** The output with what was on the wire beside it, for recordings that hold a part of an answer. */
  async whole<Output extends SdkOutput>(call: Promise<Output>): Promise<Output> {
    const output = await call;
    return { ...withDropped(output, sentMembers(this.#wire)), $metadata: output.$metadata } as Output;
  }

  /** Notes the answer of a call that should be refused. */
  async refusal(name: string, call: Promise<SdkOutput>, captures: Captures = {}): Promise<void> {
    await this.#noted(name, call, captures);
  }

  /** Notes the answer if it is a refusal, and tells whether it was none. */
  async attempt(name: string, call: Promise<SdkOutput>, captures: Captures = {}): Promise<boolean> {
    const output = await this.#noted(name, call, captures);
    if (output !== undefined) this.answers.delete(name);
    return output !== undefined;
  }

  /** Notes a part of an answer, where that is what the recording holds. */
  note(name: string, value: unknown, captures: Captures = {}): void {
    this.answers.set(name, { value, captures });
  }

  /** Asks again, in emulated time, until the answer is as wished. */
  async until<Output>(call: () => Promise<Output>, isDone: (output: Output) => boolean): Promise<Output> {
    for (let attempt = 0; attempt < 30; attempt++) {
      const output = await call();
      if (isDone(output)) return output;
      this.#cloud.passTime(5_000);
    }
    throw new Error("what the recording waited for has not come");
  }

  async #noted<Output extends SdkOutput>(
    name: string,
    call: Promise<Output>,
    captures: Captures,
  ): Promise<Output | undefined> {
    try {
      const output = await call;
      this.note(name, succeeded(output, this.#wire), captures);
      return output;
    } catch (error) {
      if (!isAnswer(error)) throw error;
      this.note(name, refused(this.#wire), captures);
      return undefined;
    }
  }

  #configuration(region: string, credentials: SigningCredentials): Configuration {
    return { endpoint: this.#cloud.url, region, credentials, maxAttempts: 2, requestHandler: this.#handler };
  }
}

function succeeded({ $metadata, ...output }: SdkOutput, wire: WireResponse): unknown {
  return {
    ...withDropped(output, sentMembers(wire)),
    ResponseMetadata: { HTTPHeaders: {}, HTTPStatusCode: $metadata.httpStatusCode },
  };
}

/** What the wire had; nothing where it was not JSON. */
function sentMembers({ body }: WireResponse): object {
  return body.startsWith("{") ? (JSON.parse(body) as object) : {};
}

/** The output without what is undefined, and with what was on the wire but is not in the client's model. */
function withDropped(output: object, sent: object): Record<string, unknown> {
  const known = Object.entries(output).filter(([, value]) => value !== undefined);
  const members = known.map(([name, value]): [string, unknown] => {
    const twin = (sent as Record<string, unknown>)[name];
    return [name, merge(value, twin)];
  });
  const names = new Set(known.map(([name]) => name));
  return Object.fromEntries([...members, ...Object.entries(sent).filter(([name]) => !names.has(name))]);
}

function merge(value: unknown, twin: unknown): unknown {
  if (Array.isArray(value) && Array.isArray(twin)) return value.map((element, index) => merge(element, twin[index]));
  return isPlain(value) && isPlain(twin) ? withDropped(value, twin) : value;
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Whether the service said it, and not the client or the network. */
function isAnswer(error: unknown): boolean {
  if (!(error instanceof Error) || !("$metadata" in error)) return false;
  return (error.$metadata as SdkOutput["$metadata"]).httpStatusCode !== undefined;
}

function refused({ statusCode, body }: WireResponse): unknown {
  const ResponseMetadata = { HTTPHeaders: {}, HTTPStatusCode: statusCode };
  if (body.startsWith("<")) return { Error: xmlError(body), ResponseMetadata };
  const sent = JSON.parse(body || "{}") as { __type?: string; message?: string; Message?: string };
  const { __type: type = "", message, Message, ...others } = sent;
  const Code = type.replace(/^.*#/, "");
  const isModelled = Object.hasOwn(kmsModel, Code) && Code !== "KMSServiceException";
  return {
    Error: { Code, Message: message ?? Message ?? "" },
    ...(isModelled && message !== undefined ? { message } : {}),
    ...others,
    ResponseMetadata,
  };
}

/** The members of a Query protocol error. */
function xmlError(body: string): Record<string, string> {
  const inside = /<Error>([\s\S]*?)<\/Error>/.exec(body)?.[1] ?? "";
  const members = [...inside.matchAll(/<(\w+)>([\s\S]*?)<\/\1>/g)];
  return Object.fromEntries(members.map(([, name = "", text = ""]) => [name, unescaped(text)]));
}

function unescaped(text: string): string {
  const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(\w+);/g, (whole, name: string) => named[name] ?? whole);
}
