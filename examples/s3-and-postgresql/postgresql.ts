/**
 * Runs a PostgreSQL server of its own for the example: new data, TLS only, one password; nothing is left of it.
 *
 * It takes the programs of Debian's package `postgresql`, as a user without privileges.
 *
 * @module
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { said } from "../run/said.ts";
import type { Identity } from "./certificate.ts";

export interface Postgresql extends AsyncDisposable {
  readonly port: number;
}

interface Options extends Identity {
  readonly user: string;
  readonly password: string;
}

const DEBIAN = "/usr/lib/postgresql";
/** `nobody`: PostgreSQL does not run as root. */
const UNPRIVILEGED = 65_534;
const ACCESS = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/** Where its programs are; `undefined` where it is not installed. */
function programs(): string | undefined {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(DEBIAN, version, "bin")).find((folder) => existsSync(join(folder, "initdb")));
}

/** `undefined` where it is not installed. */
export async function startPostgresql({ user, password, ...tls }: Options): Promise<Postgresql | undefined> {
  const bin = programs();
  if (bin === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "pg-"));
  const data = join(folder, "data");
  const isRoot = process.getuid?.() === 0;
  const as: SpawnOptions = {
    ...{ cwd: folder, stdio: ["ignore", "ignore", "pipe"] },
    ...(isRoot && { uid: UNPRIVILEGED, gid: UNPRIVILEGED }),
  };
  const files = {
    password: password,
    "server.crt": tls.certificate,
    "server.key": tls.key,
    "access.conf": ACCESS,
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 });
  if (isRoot)
    for (const name of ["", ...Object.keys(files)]) await chown(join(folder, name), UNPRIVILEGED, UNPRIVILEGED);
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 10 });
  try {
    const initdb = ["-D", data, "-U", user, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", "--pwfile=password"];
    await finished(spawn(join(bin, "initdb"), [...initdb, "--locale=C"], as));
    const port = await freePort();
    const server = spawn(join(bin, "postgres"), ["-D", data, "-p", String(port), ...settings(folder)], as);
    await said(server, /ready to accept connections/);
    return {
      port,
      async [Symbol.asyncDispose]() {
        const ended = once(server, "exit");
        // The mode that does not wait for clients.
        if (server.exitCode === null && server.kill("SIGINT")) await ended;
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

function settings(folder: string): string[] {
  const values = {
    ...{ listen_addresses: "127.0.0.1", unix_socket_directories: "", hba_file: join(folder, "access.conf") },
    ...{ ssl: "on", ssl_cert_file: join(folder, "server.crt"), ssl_key_file: join(folder, "server.key") },
    ...{ fsync: "off", shared_buffers: "16MB", max_connections: "10" },
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

/** It takes no port 0. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function finished(child: ChildProcess): Promise<void> {
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`initdb ended with ${code}: ${text}`);
}
