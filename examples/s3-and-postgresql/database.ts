/**
 * Speaks to PostgreSQL from inside the enclave: `pg` as it is, over a tunnel through the parent, with TLS that ends here.
 *
 * The server must hold a certificate for its name under the root that lies beside the application in the image; what else
 * the image or the system trusts plays no part.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { Client } from "pg";
import type { EnclaveEnv } from "../../enclave/app/env.ts";
import { isToolkitError, TransportError } from "../../shared/errors/index.ts";

export interface DatabaseAccess {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

const CONNECT_TIMEOUT_MS = 20_000;

/** @throws {TransportError} not allowed, not reached, or not the server that it should be. @throws the server's own errors */
export async function openDatabase({ connect, log }: EnclaveEnv, access: DatabaseAccess): Promise<Client> {
  const { host, port } = access;
  const tunnel = asSocket(await connect(host, port));
  const ssl = { ca: readFileSync(new URL("./database-root.pem", import.meta.url)), rejectUnauthorized: true };
  const client = new Client({ ...access, ssl, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, stream: () => tunnel });
  client.on("error", () => log.write("warn", "the database is gone"));
  try {
    await client.connect();
    return client;
  } catch (cause) {
    tunnel.destroy();
    const { code: reason = "" } = cause as NodeJS.ErrnoException;
    const isTls = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/.test(reason);
    if (!isTls || isToolkitError(cause)) throw cause;
    throw new TransportError("ERR_TRANSPORT_TLS_REFUSED", { host, port, reason }, { cause });
  }
}

/** `pg` takes a socket and connects it; this one is connected, and waits to be read. */
function asSocket(tunnel: Duplex): Duplex {
  const connected = (): void => void tunnel.resume().emit("connect");
  return Object.assign(tunnel, { connect: () => process.nextTick(connected) });
}
