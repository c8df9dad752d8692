/**
 * A name server that can fall silent: every name is this host, for no time at all.
 *
 *   node dist/bench/proxy/names.js        prints its port; takes the lines `silent` and `answer`
 *
 * Source: RFC 1035 §4.1.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";

const A = 1;
let isSilent = false;
const socket = createSocket("udp4");
socket.on("message", (query, { port, address }) => {
  if (!isSilent) socket.send(answerTo(query), port, address);
});

function answerTo(query: Buffer): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const question = query.subarray(12, end);
  const isA = query.readUInt16BE(end - 4) === A;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8580, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isA ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
  return Buffer.concat([header, question, ...(isA ? [record] : [])]);
}

socket.bind(0, "127.0.0.1", () => process.stdout.write(`${JSON.stringify({ port: socket.address().port })}\n`));
createInterface({ input: process.stdin })
  .on("line", (line) => {
    isSilent = line === "silent";
    process.stdout.write("{}\n");
  })
  .on("close", () => process.exit(0));
