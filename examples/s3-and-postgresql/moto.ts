/**
 * Runs an S3 server for the example: moto's, over TLS. It keeps objects in memory and checks no signature.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent } from "node:https";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { said } from "../run/said.ts";
import type { Identity } from "./certificate.ts";

export interface ObjectServer extends AsyncDisposable {
  readonly port: number;
  /** Its operator's own view. */
  readonly client: S3Client;
}

interface Options extends Identity {
  readonly region: string;
  readonly bucket: string;
}

/** Where `make aws-clients` puts it. */
const CACHED = join(homedir(), ".cache/cloister/aws-clients/bin/moto_server");

/** `undefined` where moto is not installed. */
export async function startMoto({ region, bucket, ...tls }: Options): Promise<ObjectServer | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "s3-"));
  const [certificate, key] = [join(folder, "server.crt"), join(folder, "server.key")];
  await writeFile(certificate, tls.certificate);
  await writeFile(key, tls.key, { mode: 0o600 });
  const program = existsSync(CACHED) ? CACHED : "moto_server";
  const server = spawn(program, ["-H", "127.0.0.1", "-p", "0", "-s", "-c", certificate, "-k", key], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const port = await portOf(server);
  if (port === undefined) {
    await rm(folder, { recursive: true });
    return undefined;
  }
  const agent = new Agent({ ca: tls.certificate });
  const client = new S3Client({
    ...{ region, endpoint: `https://127.0.0.1:${port}`, forcePathStyle: true },
    credentials: { accessKeyId: "operator", secretAccessKey: "operator" },
    requestHandler: new NodeHttpHandler({ httpsAgent: agent }),
  });
  const placed = { LocationConstraint: region as "eu-central-1" };
  await client.send(new CreateBucketCommand({ Bucket: bucket, CreateBucketConfiguration: placed }));
  return {
    ...{ port, client },
    async [Symbol.asyncDispose]() {
      client.destroy();
      agent.destroy();
      const ended = once(server, "exit");
      if (server.exitCode === null && server.kill("SIGTERM")) await ended;
      await rm(folder, { recursive: true });
    },
  };
}

async function portOf(server: ChildProcess): Promise<number | undefined> {
  try {
    const text = await said(server, /Running on https:\/\/127\.0\.0\.1:\d+/);
    return Number(/Running on https:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}
