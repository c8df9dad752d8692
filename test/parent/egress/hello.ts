/** ClientHellos for tests: real ones of Node's TLS, and hand-made ones with one thing changed. */
import { Duplex } from "node:stream";
import { connect } from "node:tls";

/** The first flight of Node's own TLS client. */
export function realHello(servername?: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
        wire.destroy();
      },
    });
    connect({ socket: wire, ...(servername !== undefined && { servername }) }).on("error", () => {});
  });
}

const uint = (value: number, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};
export const vector = (content: Uint8Array, lengthBytes: number): Buffer =>
  Buffer.concat([uint(content.length, lengthBytes), content]);
export const extension = (type: number, content: Uint8Array): Buffer =>
  Buffer.concat([uint(type, 2), vector(content, 2)]);
export const hostEntry = (name: string, type = 0): Buffer =>
  Buffer.concat([uint(type, 1), vector(Buffer.from(name, "latin1"), 2)]);
export const serverName = (...entries: readonly Buffer[]): Buffer => extension(0, vector(Buffer.concat(entries), 2));

export interface HelloParts {
  readonly extensions?: readonly Buffer[] | undefined;
  readonly sessionId?: Buffer;
  readonly suites?: Buffer;
  readonly compression?: Buffer;
  readonly behind?: Buffer;
  /** What the message says of its own length, over what it has. */
  readonly lie?: number;
}

/** The handshake message. */
export function hello(parts: HelloParts = {}): Buffer {
  const { extensions = [serverName(hostEntry("kms.test"))], behind = Buffer.alloc(0), lie = 0 } = parts;
  const { sessionId = Buffer.alloc(32), suites = Buffer.from([0x13, 0x01]), compression = Buffer.from([0]) } = parts;
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(sessionId, 1),
    vector(suites, 2),
    vector(compression, 1),
    ...("extensions" in parts && parts.extensions === undefined ? [] : [vector(Buffer.concat([...extensions]), 2)]),
    behind,
  ]);
  return Buffer.concat([Buffer.from([1]), uint(body.length + lie, 3), body]);
}

/** Records of the given size, at most. */
export function records(message: Uint8Array, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.from([22, 3, 1]), vector(message.subarray(at, at + size), 2));
  }
  return Buffer.concat(parts);
}
