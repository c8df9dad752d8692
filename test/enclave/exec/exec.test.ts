/**
 * Programs that are not Node, in an enclave: what they reach, what they are told, and how they end.
 */
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAttestedAgent } from "../../../client/attested-agent.ts";
import { attestedFetch } from "../../../client/attested-fetch.ts";
import { dangerouslyTrustRoot, readUserData } from "../../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../../shared/attestation/inspect.ts";
import { fromHex, utf8 } from "../../../shared/bytes.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { APP_PORT } from "../../../shared/transport/ports.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanup, measurements, transport } from "../app/world.ts";
import { type Cloud, makePlace, type Place, session, startCloud } from "./world.ts";

const CANARY = "canary-of-a-plaintext-5b1f";
const context = { dataset: "x" };
const hasCurl = existsSync("/usr/bin/curl");
const hasPython = existsSync("/usr/bin/python3");
let cloud: Cloud;

beforeAll(async () => {
  cloud = await startCloud();
});
afterAll(() => cloud.close());

async function sealed(): Promise<{ keyArn: string; ciphertext: string; context: object }> {
  const { keyArn, kms } = cloud;
  const input = { KeyId: keyArn, Plaintext: utf8(CANARY), EncryptionContext: context };
  const { CiphertextBlob = new Uint8Array() } = await kms.encrypt(input);
  return { keyArn, ciphertext: Buffer.from(CiphertextBlob).toString("base64"), context };
}

/** What the parent saw and was told. */
function seenBy({ world }: Place): string {
  return Buffer.concat(world.crossed).toString("latin1") + JSON.stringify(world.lines);
}

const CURL = `set -eu
ask() { curl -sS -H "Authorization: Bearer $CLOISTER_TOKEN" "$@"; }
ask "$CLOISTER_URL/v1/kms/decrypt" --data @"$OUT/decrypt.json" > "$OUT/decrypted"
ask "$CLOISTER_URL/v1/attest" --data @"$OUT/attest.json" > "$OUT/attested"
ask "$CLOISTER_URL/v1/kms/decrypt" --data @"$OUT/elsewhere.json" > "$OUT/refused"
curl -sS --data "there and back" https://echo.example/ > "$OUT/echoed"
curl -sS -o "$OUT/other" -w '%{http_connect}' https://other.example/ > "$OUT/connect" 2> "$OUT/why" || true
curl -sS "$CLOISTER_URL/v1/credentials" > "$OUT/stranger"
exit 3`;

const PYTHON = `
import base64, json, os, urllib.request
out = os.environ["OUT"]
def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    field = {"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
    url = os.environ["CLOISTER_URL"] + path
    return json.load(urllib.request.urlopen(urllib.request.Request(url, data, field)))
key = json.load(open(out + "/decrypt.json"))
made = ask("/v1/kms/generate-data-key", {"keyArn": key["keyArn"], "context": key["context"]})
again = ask("/v1/kms/decrypt", {**key, "ciphertext": made["ciphertext"]})
own = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
    headers={"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]})
result = {
    "plaintext": base64.b64decode(ask("/v1/kms/decrypt", key)["plaintext"]).decode(),
    "same": made["plaintext"] == again["plaintext"],
    "bytes": len(base64.b64decode(made["plaintext"])),
    "credentials": json.load(urllib.request.urlopen(own)),
    "echoed": urllib.request.urlopen("https://echo.example/", b"there and back").read().decode(),
}
json.dump({**result, "key": made["plaintext"]}, open(out + "/result.json", "w"))
`;

describe("a program in another language", () => {
  test.skipIf(!hasCurl)("curl: decrypts, attests, gets out by the proxy; refusals come by name", async () => {
    const place = await makePlace(cloud);
    const request = await sealed();
    const digest = Buffer.alloc(48, 5);
    place.write("decrypt.json", JSON.stringify(request));
    place.write("elsewhere.json", JSON.stringify({ ...request, context: { dataset: "y" } }));
    const nonce = Buffer.alloc(16, 9).toString("base64");
    place.write("attest.json", JSON.stringify({ purpose: "receipt", digest: digest.toString("base64"), nonce }));
    const { ended } = await place.launch({ command: ["sh", "-c", CURL] });
    expect(await ended).toBe(3);
    const { plaintext } = JSON.parse(place.read("decrypted")) as { plaintext: string };
    expect(Buffer.from(plaintext, "base64").toString()).toBe(CANARY);
    const { document } = JSON.parse(place.read("attested")) as { document: string };
    const claims = decodeAttestationUnverified(Buffer.from(document, "base64"));
    const userData = readUserData(claims.userData ?? new Uint8Array());
    expect(userData).toEqual({ purpose: "receipt", digest: new Uint8Array(digest) });
    expect(Buffer.from(claims.nonce ?? []).toString("base64")).toBe(nonce);
    expect(JSON.parse(place.read("refused")).code).toMatch(/^ERR_KMS_/);
    expect(place.read("echoed")).toBe("there and back");
    expect(place.read("connect")).toBe("403");
    expect(JSON.parse(place.read("stranger")).code).toBe("ERR_ENCLAVE_TOKEN");
    expect(place.world.lines.at(-1)?.event).toBe("stopped");
    expect(seenBy(place)).not.toContain(CANARY);
    expect(seenBy(place)).not.toContain(plaintext);
  });

  test.skipIf(!hasPython)(
    "python: data keys, credentials as every AWS SDK reads them, the proxy by itself",
    async () => {
      const place = await makePlace(cloud);
      place.write("decrypt.json", JSON.stringify(await sealed()));
      const { ended } = await place.launch({ command: ["/usr/bin/python3", "-c", PYTHON] });
      expect(await ended).toBe(0);
      const { key, ...result } = JSON.parse(place.read("result.json")) as { readonly key: string };
      expect(result).toEqual({
        ...{ plaintext: CANARY, same: true, bytes: 32, echoed: "there and back" },
        credentials: {
          ...{ AccessKeyId: session.accessKeyId, SecretAccessKey: session.secretAccessKey },
          ...{ Token: session.sessionToken, Expiration: "2099-01-01T00:00:00.000Z" },
        },
      });
      for (const secret of [CANARY, key, Buffer.from(key, "base64").toString("latin1")]) {
        expect(seenBy(place)).not.toContain(secret);
      }
    },
  );

  test.skipIf(!hasPython)("its HTTP server answers the enclave's clients, who verified the enclave first", async () => {
    const place = await makePlace(cloud);
    place.write("page.txt", "served by python");
    const port = await freePort();
    const serve = `exec /usr/bin/python3 -m http.server -b 127.0.0.1 -d "$OUT" ${port} 2> /dev/null`;
    const command = ["sh", "-c", serve] as const;
    await place.launch({ command, forward: port });
    const { pcr0, pcr1, pcr2 } = measurements;
    const roots = [dangerouslyTrustRoot(place.world.nsm.rootCertificate)] as const;
    const agent = createAttestedAgent({
      kind: "nsm",
      roots,
      images: [{ 0: pcr0, 1: pcr1, 2: pcr2 }],
      maxAgeMs: 60_000,
    });
    cleanup(() => agent.destroy());
    const door = await ingress(place);
    const ask = () => attestedFetch(`https://127.0.0.1:${door}/page.txt`, { agent });
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(200);
    const response = await ask();
    expect(await response.text()).toBe("served by python");
  });

  test("is told what the image and the toolkit say, and nothing of the environment around", async () => {
    process.env["CANARY_AROUND"] = CANARY;
    cleanup(() => delete process.env["CANARY_AROUND"]);
    const place = await makePlace(cloud);
    const environment = { MODE: "first", NO_PROXY: "mine" };
    const { ended } = await place.launch({ command: ["sh", "-c", 'env > "$OUT/env"'], environment, forward: 4_000 });
    expect(await ended).toBe(0);
    const lines = place.read("env").trim().split("\n");
    const told = new Map(lines.map((line) => line.split(/=(.*)/s, 2) as [string, string]));
    expect([...told.keys()].filter((name) => !["PWD", "SHLVL", "_", "OLDPWD"].includes(name)).sort()).toEqual(
      [
        ...["AWS_CA_BUNDLE", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        ...["AWS_EC2_METADATA_DISABLED", "CLOISTER_TOKEN", "CLOISTER_URL", "CURL_CA_BUNDLE", "HTTPS_PROXY", "MODE"],
        ...["NO_PROXY", "OUT", "PATH", "PORT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "https_proxy", "no_proxy"],
      ].sort(),
    );
    expect(told.get("PORT")).toBe("4000");
    expect(told.get("NO_PROXY")).toBe("mine");
    expect(told.get("CLOISTER_URL")).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(existsSync(told.get("SSL_CERT_FILE") ?? "")).toBe(false); // gone with the enclave
    expect(seenBy(place)).not.toContain(told.get("CLOISTER_TOKEN"));
  });
});

describe("a program's output", () => {
  const command = ["sh", "-c", `echo ${CANARY}; printf 'no newline' >&2; head -c 9000 /dev/zero | tr '\\0' x`] as const;

  test("is not the parent's to read", async () => {
    const place = await makePlace(cloud);
    const quiet = ["sh", "-c", 'exec > "$OUT/out" 2>&1; "$@"', "sh", ...command] as const;
    expect(await (await place.launch({ command: quiet })).ended).toBe(0);
    expect(place.read("out")).toContain(CANARY);
    expect(seenBy(place)).not.toContain(CANARY);
  });

  test("goes to its log by lines where the definition says so, in pieces that a log takes", async () => {
    const place = await makePlace(cloud);
    const { ended } = await place.launch({ command, dangerouslyLogOutput: true });
    expect(await ended).toBe(0);
    const output = place.world.lines.filter(({ event }) => event === "output").map(({ fields }) => fields["line"]);
    const [long, short] = [
      output.filter((line) => /^x+$/.test(String(line))),
      output.filter((l) => !/^x+$/.test(String(l))),
    ];
    expect(short.sort()).toEqual([CANARY, "no newline"].sort());
    expect(long.map((line) => String(line).length).reduce((sum, length) => sum + length, 0)).toBe(9_000);
    expect(Math.max(...long.map((line) => String(line).length))).toBe(2_048);
  });

  test("and its files are found from the folder that the definition names", async () => {
    const place = await makePlace(cloud);
    const { ended } = await place.launch({ command: ["sh", "-c", "pwd > here"], directory: place.folder });
    expect(await ended).toBe(0);
    expect(place.read("here").trim()).toBe(place.folder);
  });
});

describe("a program's end", () => {
  const waits = (trap: string): readonly [string, ...string[]] => [
    ...(["sh", "-c"] as const),
    `trap ${trap}; echo > "$OUT/up"; while :; do sleep 0.02; done`,
  ];

  test("signals reach it, and its exit code is the enclave's", async () => {
    const place = await makePlace(cloud);
    const running = await place.launch({ command: waits("'exit 7' TERM") });
    await expect.poll(() => existsSync(join(place.folder, "up"))).toBe(true);
    running.signal("SIGTERM");
    expect(await running.ended).toBe(7);
    expect(await isServed(place)).toBe(false);
  });

  test("one that does not hear it is ended at the deadline: 128 and the signal", async () => {
    const place = await makePlace(cloud);
    const running = await place.launch({ command: waits("'' TERM"), shutdownMs: 50 });
    await expect.poll(() => existsSync(join(place.folder, "up"))).toBe(true);
    running.signal("SIGTERM");
    expect(await running.ended).toBe(137);
  });

  test("one that does not start keeps the enclave down, by name", async () => {
    const place = await makePlace(cloud);
    expect(await codeOf(place.launch({ command: [join(place.folder, "nothing")] }))).toBe("ERR_ENCLAVE_PROGRAM");
    expect(await isServed(place)).toBe(false);
    expect(place.world.lines.at(-1)).toMatchObject({ event: "not started", fields: { code: "ERR_ENCLAVE_PROGRAM" } });
  });

  test("one beside an address that is taken is not left behind", async () => {
    const place = await makePlace(cloud);
    const listener = await transport.listen(addressOf(place.world.platform.self, APP_PORT), (socket) =>
      socket.destroy(),
    );
    cleanup(() => listener.close());
    const command = ["sh", "-c", 'echo $$ > "$OUT/pid"; exec sleep 1000'] as const;
    expect(await codeOf(place.launch({ command }))).toBe("ERR_TRANSPORT_UNREACHABLE");
    await expect.poll(() => existsSync(join(place.folder, "pid")) && isAlive(Number(place.read("pid")))).toBe(false);
  });

  test.each([
    [{ command: [] as unknown as [string] }, TypeError],
    [{ command: ["sh"] as const, forward: 0 }, RangeError],
    [{ command: ["sh"] as const, forward: 65_536 }, RangeError],
  ])("a definition that is none is a mistake: %j", async (definition, mistake) => {
    const place = await makePlace(cloud);
    await expect(place.launch(definition)).rejects.toThrow(mistake);
    expect(place.world.lines).toEqual([]);
  });

  test("PCR16 is locked at zero: the parent configures nothing", async () => {
    const place = await makePlace(cloud);
    await place.launch({ command: ["sleep", "1000"] });
    const zero = fromHex("00".repeat(48));
    expect(await place.world.platform.nsm.describePcr(16)).toEqual({ value: zero, locked: true });
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function isServed({ world }: Place): Promise<boolean> {
  const connected = transport.connect(addressOf(world.platform.self, APP_PORT)).then((socket) => socket.destroy());
  return (await codeOf(connected)) !== "ERR_TRANSPORT_UNREACHABLE";
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** The parent's door: bytes as they come, to the enclave's socket. */
async function ingress({ world }: Place): Promise<number> {
  const server = createServer(async (client) => {
    const inside = await transport.connect(addressOf(world.platform.self, APP_PORT));
    client.on("error", () => inside.destroy()).pipe(inside);
    inside.on("error", () => client.destroy()).pipe(client);
  });
  cleanup(() => server.close());
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return (server.address() as { port: number }).port;
}
