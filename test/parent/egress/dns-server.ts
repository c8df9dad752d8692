/** A name server on loopback, over UDP and TCP, that answers what the test says; it speaks no more DNS than that. */
import { createSocket, type Socket as Datagram } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

export interface Answer {
  /** 0 no error, 2 server failure, 3 no such name. */
  readonly rcode?: number;
  /** Records for the asked name: `A`, `AAAA` by address text, `CNAME` by name. */
  readonly records?: readonly { readonly type: "A" | "AAAA" | "CNAME"; readonly ttl: number; readonly data: string }[];
  /** Answers by UDP with the truncation bit, so that TCP is asked. */
  readonly truncated?: boolean;
}

export type Answering = (name: string, type: "A" | "AAAA") => Answer | "silence";

const TYPES = { A: 1, AAAA: 28, CNAME: 5 } as const;

export interface DnsServer {
  readonly address: string;
  readonly asked: string[];
  answering: Answering;
  close(): void;
}

export async function dnsServer(answering: Answering): Promise<DnsServer> {
  const tcp: Server = createServer().listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as { port: number };
  const udp: Datagram = createSocket("udp4").bind(port, "127.0.0.1");
  await once(udp, "listening");
  const server: DnsServer = {
    address: `127.0.0.1:${port}`,
    asked: [],
    answering,
    close: () => {
      udp.close();
      tcp.close();
    },
  };
  udp.on("message", (query, { port: to, address }) => {
    const reply = respond(server, query, "udp");
    if (reply) udp.send(reply, to, address);
  });
  tcp.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      const reply = respond(server, bytes.subarray(2), "tcp");
      if (!reply) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      socket.end(Buffer.concat([length, reply]));
    });
  });
  return server;
}

function respond(server: DnsServer, query: Buffer, over: "udp" | "tcp"): Buffer | undefined {
  let at = 12;
  const labels: string[] = [];
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1) === TYPES.AAAA ? "AAAA" : "A";
  const name = labels.join(".");
  server.asked.push(`${name} ${type}`);
  const answer = server.answering(name, type);
  if (answer === "silence") return undefined;
  const { rcode = 0, records = [], truncated = false } = answer;
  const cut = truncated && over === "udp";
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180 | rcode | (cut ? 0x0200 : 0), 2);
  header.writeUInt16BE(cut ? 0 : records.length, 6);
  header.fill(0, 8);
  const body = cut ? [] : records.map(encodeRecord);
  return Buffer.concat([header, query.subarray(12, at + 5), ...body]);
}

function encodeRecord({ type, ttl, data }: NonNullable<Answer["records"]>[number]): Buffer {
  const bytes = encodeData(type, data);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(TYPES[type], 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(bytes.length, 10);
  return Buffer.concat([head, bytes]);
}

function encodeData(type: keyof typeof TYPES, data: string): Buffer {
  if (type === "A") return Buffer.from(data.split(".").map(Number));
  if (type === "AAAA")
    return Buffer.from(
      data
        .split(":")
        .map((group) => group.padStart(4, "0"))
        .join(""),
      "hex",
    );
  const labels = data.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}
