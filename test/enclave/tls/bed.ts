/**
 * An enclave that serves HTTP over attested TLS on a loopback port, and what a parent could put in front of it. Each
 * keeps every byte that came after the handshake.
 */
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import { type AttestedTls, type AttestedTlsLimits, createAttestedTls } from "../../../enclave/tls/attested-tls.ts";
import { createMockNsm, createPki, type MockPki } from "../../../mock/testing.ts";
import { dangerouslyTrustRoot } from "../../../shared/attestation/index.ts";
import type { NsmDevice } from "../../../shared/nsm/device.ts";
import type { EnclavePolicy } from "../../../shared/session/bound-document.ts";

const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
export const IMAGE = { 0: pcr(1), 1: pcr(2), 2: pcr(3) } as const;
export const OTHER_IMAGE = { 0: pcr(9), 1: pcr(2), 2: pcr(3) } as const;

/** One authority for all enclaves of a test file: what is told apart is not the root. */
const INSTANCE = "i-0123456789abcdef0";
export const pki: MockPki = await createPki({
  region: "us-east-1",
  instanceId: INSTANCE,
  now: () => new Date(),
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
});
export const policy: EnclavePolicy = {
  kind: "nsm",
  roots: [dangerouslyTrustRoot(pki.rootCertificate)],
  images: [IMAGE],
  maxAgeMs: 60_000,
};

export interface NsmSettings {
  readonly debug?: boolean;
  readonly image?: Readonly<Record<0 | 1 | 2, Uint8Array>>;
  readonly instanceId?: string;
  readonly now?: () => Date;
}

export async function mockNsm(settings: NsmSettings = {}): Promise<NsmDevice> {
  const { debug = false, image = IMAGE, instanceId = INSTANCE, now } = settings;
  const measurements = { pcr0: image[0], pcr1: image[1], pcr2: image[2] };
  const { device } = await createMockNsm({ pki, measurements, debug, instanceId, ...(now && { now }) });
  return device;
}

export interface Listening {
  readonly port: number;
  readonly url: string;
  /** What each connection said after its handshake, as text. */
  readonly said: string[];
  close(): Promise<void>;
}

export interface ServedEnclave extends Listening {
  readonly tls: AttestedTls;
  readonly nsm: NsmDevice;
}

export interface EnclaveSettings extends NsmSettings {
  readonly limits?: AttestedTlsLimits;
  readonly app?: (request: Request) => Promise<Response>;
}

const hello = async (request: Request): Promise<Response> =>
  new Response(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`);

export async function serveEnclave(settings: EnclaveSettings = {}): Promise<ServedEnclave> {
  const { app = hello, limits = {} } = settings;
  const nsm = await mockNsm(settings);
  const tls = await createAttestedTls({ nsm, now: () => new Date(), limits });
  const http = createHttpServer(answering(tls, app));
  const listening = await listen(createServer(), (raw, said) => {
    tls.accept(raw).then(
      (socket) => {
        http.emit("connection", socket);
        // After the parser: it reads past listeners that were there before it.
        record(socket, said);
      },
      () => undefined,
    );
  });
  return { ...listening, tls, nsm };
}

function answering(tls: AttestedTls, app: (request: Request) => Promise<Response>): RequestListener {
  return async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method = "GET", url = "/" } = incoming;
    const body = method === "GET" || method === "HEAD" ? {} : { body: Buffer.concat(chunks) };
    const request = new Request(`http://enclave${url}`, { method, ...body });
    const response = (await tls.handle(request, incoming.socket as TLSSocket)) ?? (await app(request));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(new Uint8Array(await response.arrayBuffer()));
  };
}

/** A TLS server with a certificate of its own that says what `onRequest` writes. */
export async function serveTls(options: TlsOptions, onSocket: (socket: TLSSocket) => void): Promise<Listening> {
  const said: string[] = [];
  const server = createTlsServer(options, (socket) => {
    record(socket, said);
    onSocket(socket);
  });
  server.on("tlsClientError", () => undefined);
  return listen(server, undefined, said);
}

type OnRaw = (raw: Socket, said: string[]) => void;

async function listen(server: Server, onRaw?: OnRaw, said: string[] = []): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on("connection", (raw: Socket) => {
    raw.on("error", () => undefined);
    sockets.add(raw);
    raw.once("close", () => sockets.delete(raw));
    onRaw?.(raw, said);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    for (const raw of sockets) raw.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { port, url: `https://127.0.0.1:${port}`, said, close };
}

function record(socket: TLSSocket, said: string[]): void {
  const index = said.push("") - 1;
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => (said[index] += chunk.toString("latin1")));
}
