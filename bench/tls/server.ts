/**
 * The server of the measurement: an enclave's attested TLS in front of Node's HTTP, in a process of its own.
 *
 * Its certificate names 127.0.0.1, so that plain clients that are told to trust it can ask the very same server.
 *
 * @module
 */
import "reflect-metadata";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import type { TLSSocket } from "node:tls";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { createAttestedTls } from "../../enclave/tls/attested-tls.ts";
import type { TlsIdentity } from "../../enclave/tls/identity.ts";
import { createMockNsm } from "../../mock/nsm/index.ts";

const BODY = Buffer.alloc(1_024, "x");
/** One connection and its document are all that is asked for, but cold rounds ask again and again. */
const UNLIMITED = { perSecond: 1_000_000, burst: 1_000_000 };

const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
const { device, rootCertificate } = await createMockNsm({ measurements: { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) } });
const tls = await createAttestedTls({ nsm: device, now: () => new Date(), limits: { documents: UNLIMITED } });
const certificate = await certificateFor(tls.identity);
tls.showCertificate(certificate);

const http = createHttpServer(async (incoming, outgoing) => {
  const request = new Request(`http://enclave${incoming.url ?? "/"}`);
  const response = await tls.handle(request, incoming.socket as TLSSocket);
  const body = response ? Buffer.from(await response.arrayBuffer()) : BODY;
  outgoing.writeHead(200, { "content-length": body.length, ...(response && Object.fromEntries(response.headers)) });
  outgoing.end(body);
});
const server = createServer((raw) => {
  tls.accept(raw).then(
    (socket) => http.emit("connection", socket),
    () => undefined,
  );
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ port, certificate, root: Buffer.from(rootCertificate).toString("base64") });
});
process.once("disconnect", () => process.exit());

async function certificateFor({ keys }: TlsIdentity): Promise<string> {
  const made = await X509CertificateGenerator.createSelfSigned({
    name: "CN=bench",
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys,
    extensions: [new SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])],
  });
  return made.toString("pem");
}
