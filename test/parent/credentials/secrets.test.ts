/** A canary in each of the credentials' values, through all of the parent's and the enclave's ways, and every sink searched. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { KMSClient } from "@aws-sdk/client-kms";
import { expect, test, vi } from "vitest";
import { parentCredentials } from "../../../enclave/egress/credentials.ts";
import { startCredentials } from "../../../parent/credentials/credentials.ts";
import { startCredentialsHttp } from "../../../parent/credentials/http-form.ts";
import { fromInstanceRole } from "../../../parent/credentials/instance-role.ts";
import { refreshing } from "../../../parent/credentials/refreshing.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { CREDENTIALS_PORT } from "../../../shared/transport/ports.ts";
import { collect } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport } from "../fixture.ts";

const CANARIES = {
  AccessKeyId: "ASIA7F3A91C2D4E5B6A7",
  SecretAccessKey: "secret7f3a91c2d4e5b6a7plaintext0123456789",
  Token: "token7f3a91c2d4e5b6a7plaintext0123456789abcd",
  imds: "imds7f3a91c2d4e5b6a7plaintext==",
};

/** As they are and in the forms that something could have put them into. */
function forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const half = secret.slice(0, secret.length / 2);
  const encoded = (["hex", "base64", "base64url"] as const).map((encoding) => bytes.toString(encoding));
  return [secret, half, [...secret].reverse().join(""), Buffer.from(secret, "utf16le").toString("hex"), ...encoded];
}

test("G12: no canary in events, errors, inspect or console, in any form", async () => {
  const sinks: string[] = [];
  const note = (value: unknown): void =>
    void sinks.push(inspect(value, { showHidden: true, depth: null, getters: true }));
  for (const method of ["log", "warn", "error", "info", "debug"] as const) {
    vi.spyOn(console, method).mockImplementation((...args) => note(args));
  }
  cleanups.push(() => vi.restoreAllMocks());
  let broken = false;
  const server = createServer(({ method, url }, response) => {
    const { imds, ...identity } = CANARIES;
    const body = JSON.stringify({ Code: "Success", ...identity, Expiration: "2999-01-01T00:00:00Z" });
    if (method === "PUT") response.end(imds);
    else if (url?.endsWith("/")) response.end("app");
    else response.end(broken ? `${body}}` : body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(
    () => void server.close(),
    () => server.closeAllConnections(),
  );
  const source = fromInstanceRole({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const provide = refreshing(source);
  const parent = freshPeer();
  const shared = { transport, log: note };
  const channel = await startCredentials({ ...shared, address: addressOf(parent, CREDENTIALS_PORT), provide });
  const http = await startCredentialsHttp({
    ...shared,
    address: { kind: "tcp", host: "127.0.0.1", port: 0 },
    provide: source,
  });
  cleanups.push(
    () => channel.close(),
    () => http.close(),
  );
  const ask = async (): Promise<string> => {
    const socket = await transport.connect(http.address);
    socket.write("GET /credentials HTTP/1.1\r\nHost: x\r\n\r\n");
    const answer = String(await collect(socket));
    socket.destroy();
    return answer;
  };
  // Each way has worked: what is searched below had the canaries in its hands.
  const credentials = parentCredentials({ transport, parent });
  const given = await credentials();
  expect(given.secretAccessKey).toBe(CANARIES.SecretAccessKey);
  expect(await ask()).toContain(CANARIES.Token);
  const kms = new KMSClient({ region: "eu-central-1", credentials });
  note([
    given,
    await provide(),
    provide,
    credentials,
    source,
    channel,
    http,
    kms.config,
    await kms.config.credentials(),
  ]);
  broken = true;
  const broke = parentCredentials({ transport, parent: freshPeer(), patienceMs: 0 });
  note([await Promise.resolve(source()).catch((e: unknown) => e), await broke().catch((e: unknown) => e), await ask()]);
  expect(sinks.join("\n")).toContain("NOT_JSON");
  const all = sinks.join("\n");
  const found = Object.values(CANARIES)
    .flatMap(forms)
    .filter((form) => all.includes(form));
  expect(found).toEqual([]);
  kms.destroy();
});
