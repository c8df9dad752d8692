/** The enclave's side of attested TLS: what it answers, how often, and which handshakes it takes. */
import { once } from "node:events";
import { connect as netConnect, type Socket } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { createAttestedTls } from "../../../enclave/tls/attested-tls.ts";
import { createDocumentRate } from "../../../enclave/tls/document-rate.ts";
import { decodeAttestationUnverified } from "../../../shared/attestation/inspect.ts";
import { readUserData } from "../../../shared/attestation/user-data.ts";
import { EXPORTER_BYTES, EXPORTER_LABEL, tlsDigest } from "../../../shared/session/attested-tls.ts";
import { readNonce, toBase64Url } from "../../../shared/session/nonce.ts";
import { createMemoryPair, createTransport } from "../../../transport/index.ts";
import { type EnclaveSettings, mockNsm, type ServedEnclave, serveEnclave } from "./bed.ts";

let enclave: ServedEnclave | undefined;
let client: TLSSocket | undefined;
afterEach(async () => {
  client?.destroy();
  await enclave?.close();
  enclave = undefined;
});

async function serve(settings: EnclaveSettings = {}): Promise<ServedEnclave> {
  return (enclave = await serveEnclave(settings));
}

function secureConnect(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options });
    client = socket.once("secureConnect", () => resolve(socket)).once("error", reject);
  });
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "taken",
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
}

/** What a TLS client says first. */
async function clientHello(): Promise<Buffer> {
  const [near, far] = createMemoryPair();
  const socket = tlsConnect({ socket: near, rejectUnauthorized: false }).on("error", () => {});
  const [chunk] = (await once(far, "data")) as [Buffer];
  socket.destroy();
  return chunk;
}

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
}

/** One request and its answer, whole. */
function ask(socket: TLSSocket, target: string, method = "GET"): Promise<Answer> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = bytes.subarray(0, end).toString().toLowerCase();
      const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? (head.includes("chunked") ? 5 : 0));
      if (bytes.length < end + 4 + length) return;
      socket.off("data", onData);
      resolve({ status: Number(head.split(" ")[1]), head, body: bytes.subarray(end + 4) });
    };
    socket.on("data", onData).write(`${method} ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
  });
}

const nonce = (length: number): string => toBase64Url(new Uint8Array(length).fill(7));
const target = (text: string): string => `/.well-known/attestation?nonce=${text}`;

describe("GET /.well-known/attestation", () => {
  test("answers with a document over the challenge, the key and this connection's exporter", async () => {
    const { port, tls } = await serve();
    const socket = await secureConnect(port);
    const { status, head, body } = await ask(socket, target(nonce(16)));
    expect([status, head.includes("cache-control: no-store")]).toEqual([200, true]);
    const { nonce: answered, publicKey, userData } = decodeAttestationUnverified(new Uint8Array(body));
    expect(answered).toEqual(new Uint8Array(16).fill(7));
    expect(publicKey).toEqual(tls.identity.spki);
    const exporter = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(16, 7));
    const said = readUserData(userData ?? new Uint8Array());
    expect(said).toEqual({ purpose: "tls", digest: await tlsDigest({ spki: tls.identity.spki, exporter }) });
  });

  test.each([
    ["N04: 15 bytes", target(nonce(15)), 400],
    ["16 bytes", target(nonce(16)), 200],
    ["64 bytes", target(nonce(64)), 200],
    ["65 bytes", target(nonce(65)), 400],
    ["no challenge", "/.well-known/attestation", 400],
    ["two challenges", `${target(nonce(16))}&nonce=${nonce(16)}`, 400],
    ["a parameter beside it", `${target(nonce(16))}&x=1`, 400],
    ["padding", target(`${nonce(16)}==`), 400],
    ["the other alphabet", target(`${nonce(15)}+/`), 400],
    ["bits that say nothing", target(`${nonce(16).slice(0, -1)}x`), 400],
  ])("%s", async (_, path, expected) => {
    const { port } = await serve();
    expect((await ask(await secureConnect(port), path)).status).toBe(expected);
  });

  test("no other method, and no other path", async () => {
    const { port } = await serve();
    const socket = await secureConnect(port);
    expect((await ask(socket, target(nonce(16)), "DELETE")).status).toBe(405);
    const { tls } = enclave ?? {};
    const request = new Request("http://enclave/.well-known/attestation/x");
    expect(await tls?.handle(request, socket)).toBeUndefined();
  });
});

describe("documents are bounded", () => {
  test("a connection gets a few, the next one its own", async () => {
    const { port } = await serve({ limits: { documents: { perConnection: 2 } } });
    const socket = await secureConnect(port);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await ask(socket, target(nonce(16)))).status);
    expect(statuses).toEqual([200, 200, 429]);
    socket.destroy();
    expect((await ask(await secureConnect(port), target(nonce(16)))).status).toBe(200);
  });

  test("all connections together get a rate with a burst, by a clock that is passed in", () => {
    let now = 0;
    const rate = createDocumentRate({ perConnection: 9, perSecond: 2, burst: 3 }, () => now);
    const codes = (count: number): string[] =>
      Array.from({ length: count }, () => {
        try {
          rate.take({});
          return "given";
        } catch (error) {
          return (error as { code: string }).code;
        }
      });
    const limit = "ERR_SESSION_DOCUMENT_LIMIT";
    expect(codes(4)).toEqual(["given", "given", "given", limit]);
    now += 499;
    expect(codes(1)).toEqual([limit]);
    now += 1;
    expect(codes(2)).toEqual(["given", limit]);
    now += 60_000;
    expect(codes(4)).toEqual(["given", "given", "given", limit]);
  });

  test.each([0, Number.NaN, -1])("a limit of %d is a mistake", (perSecond) => {
    expect(() => createDocumentRate({ perSecond }, () => 0)).toThrow(RangeError);
  });
});

describe("handshakes", () => {
  test("are TLS 1.3 only, with a P-256 key in a certificate signed by itself", async () => {
    const { port, tls } = await serve();
    await expect(secureConnect(port, { maxVersion: "TLSv1.2" })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    });
    const socket = await secureConnect(port, { ALPNProtocols: ["http/1.1"] });
    expect([socket.getProtocol(), socket.alpnProtocol]).toEqual(["TLSv1.3", "http/1.1"]);
    const certificate = socket.getPeerX509Certificate();
    expect(certificate?.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(certificate?.publicKey.export({ type: "spki", format: "der" })).toEqual(Buffer.from(tls.identity.spki));
    expect(certificate?.checkIssued(certificate)).toBe(true);
  });

  test("have a deadline; both sockets are gone then", async () => {
    const tls = await createAttestedTls({
      nsm: await mockNsm(),
      now: () => new Date(),
      limits: { handshakeTimeoutMs: 50 },
    });
    const [near, far] = createMemoryPair();
    await expect(tls.accept(far)).rejects.toMatchObject({ code: "ERR_TRANSPORT_TIMEOUT" });
    expect(far.destroyed).toBe(true);
    near.destroy();
  });

  test("are bounded: one more ends the oldest; and bytes that are no handshake end theirs", async () => {
    const tls = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date(), limits: { handshakesMax: 2 } });
    const [, first] = createMemoryPair();
    const [near, second] = createMemoryPair();
    const [oldest, other] = [codeOf(tls.accept(first)), codeOf(tls.accept(second))];
    const [client, third] = createMemoryPair();
    const taken = tls.accept(third);
    expect([await oldest, first.destroyed, second.destroyed]).toEqual(["ERR_SESSION_HANDSHAKE_LIMIT", true, false]);
    near.write("GET / HTTP/1.1\r\n\r\n");
    expect(await other).toBe("ERR_TRANSPORT_TLS_REFUSED");
    const socket = tlsConnect({ socket: client, rejectUnauthorized: false });
    (await taken).destroy();
    socket.destroy();
    const [, fourth] = createMemoryPair();
    const left = codeOf(tls.accept(fourth));
    fourth.destroy();
    expect(await left).toBe("ERR_TRANSPORT_TLS_REFUSED");
  });

  test.each([
    ["no challenge", false],
    ["a challenge of an authority", true],
  ])(
    "end with a client that goes away in the middle, over sockets that may be half open: %s",
    async (_, challenge) => {
      const tls = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date() });
      if (challenge) tls.answerChallenge(tls.identity.certificatePem);
      const outcomes: Promise<readonly [string, boolean]>[] = [];
      const listener = await createTransport().listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, (raw) => {
        outcomes.push(codeOf(tls.accept(raw)).then((code) => [code, raw.destroyed]));
      });
      const { port } = listener.address as { port: number };
      const hello = await clientHello();
      const leaving: ((socket: Socket) => void)[] = [
        (socket) => socket.end(),
        (socket) => socket.end(Buffer.of(0x16)),
        (socket) => socket.end(hello.subarray(0, 40)),
        (socket) => socket.end(hello),
        (socket) => void socket.write(hello, () => socket.resetAndDestroy()),
      ];
      for (const leave of leaving) {
        const socket = netConnect(port, "127.0.0.1").on("error", () => {});
        await once(socket, "connect");
        leave(socket);
        await expect.poll(() => outcomes.length).toBe(1);
        const [code, destroyed] = (await outcomes.pop()) ?? [];
        expect(code).toMatch(/^ERR_TRANSPORT_(TLS_REFUSED|CLOSED)$/);
        expect(destroyed).toBe(true);
        socket.destroy();
      }
      await listener.close();
      for (const said of [Buffer.of(0x16), hello]) {
        const [near, far] = createMemoryPair();
        near.end(said);
        expect(await codeOf(tls.accept(far))).toMatch(/^ERR_TRANSPORT_(TLS_REFUSED|CLOSED)$/);
      }
    },
    4_000,
  );

  test("work over a stream that is no system's socket", async () => {
    const tls = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date() });
    const [near, far] = createMemoryPair();
    const accepted = tls.accept(far);
    const socket = tlsConnect({ socket: near, rejectUnauthorized: false });
    const server = await accepted;
    socket.end("hello");
    const chunks: Buffer[] = [];
    for await (const chunk of server) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe("hello");
    server.destroy();
  });

  test("a peer that resets in the middle harms nobody else", async () => {
    const { port } = await serve();
    const raw = netConnect(port, "127.0.0.1");
    await new Promise((resolve) => raw.once("connect", resolve));
    raw.resetAndDestroy();
    expect((await ask(await secureConnect(port), target(nonce(16)))).status).toBe(200);
  });

  test("a certificate of another key is not shown", async () => {
    const { tls } = await serve();
    const { identity } = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date() });
    expect(() => tls.showCertificate(identity.certificatePem)).toThrow(/key values mismatch/);
  });
});

test("a challenge has one spelling", () => {
  expect(readNonce(toBase64Url(new Uint8Array(16).fill(255)))).toEqual(new Uint8Array(16).fill(255));
  for (const text of ["", "A".repeat(21), "A".repeat(87), "====", `${"A".repeat(21)}B`, `${"A".repeat(22)} `]) {
    expect(readNonce(text), text).toBeUndefined();
  }
});
