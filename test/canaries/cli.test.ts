/** Commands and a process that ends by an error: what they print, what `ps` shows of them, what Node reports of them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, describe, expect, test, vi } from "vitest";
import { cloister } from "../built.ts";
import { startDouble } from "../enclave/kms/double.ts";
import { scratchFolder } from "../transport/streams.ts";
import { Hunt, plant } from "./hunt.ts";

const [plaintext, secretKey, token] = [plant("plaintext"), plant("SigV4 secret"), plant("session token")];
const [dataKey, beacon] = [plant("data key"), plant("beacon")];
const dist = (path: string): string => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
const folder = scratchFolder();
const at = (name: string): string => join(folder, name);
const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const env = {
  ...{
    AWS_ACCESS_KEY_ID: "ASIAEXAMPLEEXAMPLE00",
    AWS_SECRET_ACCESS_KEY: secretKey.text,
    AWS_SESSION_TOKEN: token.text,
  },
  ...{ AWS_PROFILE: "", AWS_CONFIG_FILE: "/nonexistent", AWS_SHARED_CREDENTIALS_FILE: "/nonexistent" },
  ...{ AWS_EC2_METADATA_DISABLED: "true", AWS_MAX_ATTEMPTS: "1" },
};
afterEach(() => void vi.restoreAllMocks());

const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content);
  return at(name);
};
const data = (verb: string, input: string, endpoint: string): string[] => [
  ...["data", verb, input, "--key", KEY, "--context", `dataset=${beacon.text}`, "--output", at("output")],
  ...["--endpoint", endpoint, "--debug"],
];

describe("commands", () => {
  test.each<[string, () => string[], RegExp]>([
    [
      "G02: a policy that is no JSON",
      () => ["attest", "verify", "-", "--policy", file("policy", `{"pcrs": ${plaintext.text}`)],
      /./,
    ],
    [
      "G02: measurements that are none",
      () => ["eif", "verify", file("x", plaintext.text), "--measurements", at("x")],
      /./,
    ],
    [
      "G04: a document in another encoding",
      () => ["attest", "inspect", file("doc", `${plaintext.text}*`), "--encoding", "base64"],
      /./,
    ],
    ["G05: a document that is none", () => ["attest", "inspect", file("raw", plaintext.text)], /ERR_ATTESTATION/],
    [
      "G01: a plaintext where a message should be",
      () => data("open", file("m", `${plaintext.text}\xff`), "http://127.0.0.1:1"),
      /ERR_DATA/,
    ],
    [
      "G06: a KMS that is not there",
      () => data("seal", file("p", plaintext.text), "http://127.0.0.1:1"),
      /ERR_KMS_UNREACHABLE/,
    ],
    [
      "G09: a secret as an option is none",
      () => ["data", "seal", "x", `--secret-access-key=${secretKey.text}`],
      /secret-access-key/,
    ],
    ["G08: a doctor", () => ["parent", "doctor", "--json"], /./],
  ])("%s", async (_, args, said) => {
    const hunt = new Hunt(plaintext, secretKey, token);
    const ran = await cloister([...args(), "--debug"], { env, stdin: plaintext.text });
    expect(ran.stdout + ran.stderr).toMatch(said);
    hunt.note("output", [ran.stdout, ran.stderr, beacon.text]);
    hunt.end({ output: beacon });
  });

  test("G02 G06: a KMS that answers with the data key, and then something that is none", async () => {
    const body = `{"KeyId":"${KEY}","Plaintext":"${Buffer.from(dataKey.bytes).toString("base64")}`;
    await using double = await startDouble(() => ({ status: 200, body }));
    const hunt = new Hunt(plaintext, secretKey, token, dataKey);
    const ran = await cloister(data("seal", file("q", plaintext.text), `http://127.0.0.1:${double.port}`), { env });
    expect([ran.code, double.asked.length]).toEqual([5, 1]);
    hunt.note("output", [ran.stdout, ran.stderr, beacon.text]);
    hunt.end({ output: beacon });
  });

  test("G09: while a command works, ps shows what it works on and none of its credentials", async () => {
    const asked = createServer();
    asked.listen(0, "127.0.0.1");
    await once(asked, "listening");
    const endpoint = `http://127.0.0.1:${(asked.address() as AddressInfo).port}`;
    const args = data("seal", file("r", plaintext.text), endpoint);
    const child = spawn(process.execPath, [dist("cli/main.js"), ...args], {
      env: { ...process.env, ...env },
      stdio: "ignore",
    });
    const [request] = (await once(asked, "request")) as [{ headers: Record<string, string> }];
    const hunt = new Hunt(plaintext, secretKey, token);
    // It has found its credentials: the request is signed with them.
    expect(request.headers["x-amz-security-token"]).toBe(token.text);
    hunt.noteBytes("ps", readFileSync(`/proc/${child.pid}/cmdline`));
    child.kill("SIGKILL");
    await once(child, "close");
    asked.closeAllConnections();
    asked.close();
    hunt.end({ ps: beacon });
  });

  test("G09: no command has an option for a credential's value: a file's name at most", () => {
    const files = readdirSync(dist("cli"), { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".js"),
    );
    expect(files.length).toBeGreaterThan(30);
    const source = files.map((name) => readFileSync(dist(`cli/${name}`), "utf8")).join("\n");
    const inUsage: readonly string[] = source.match(/--[a-z][a-z-]+/g) ?? [];
    const declared = [...source.matchAll(/"?([a-z-]+)"?: (?:string\b|\{ type: "string")/g)].map(
      ([, name]) => name ?? "",
    );
    expect([inUsage.includes("--context"), declared.includes("endpoint")]).toEqual([true, true]);
    const ofValues = [...inUsage, ...declared].filter((name) =>
      /secret|password|token|access-?key|passphrase/.test(name),
    );
    expect(ofValues.filter((name) => !name.endsWith("-file"))).toEqual([]);
  });
});

/** A program that opens what can not be opened, and looks after none of it; secrets come by standard input. */
const PROGRAM = `
import { text } from "node:stream/consumers";
import { open, seal } from ${JSON.stringify(pathToFileURL(dist("shared/envelope/sealed.js")).href)};
import { parseJson } from ${JSON.stringify(pathToFileURL(dist("shared/transport/json.js")).href)};
const { plaintext, dataKey, beacon, way } = JSON.parse(await text(process.stdin));
const key = () => Uint8Array.from(Buffer.from(dataKey));
const kms = {
  generateDataKey: async ({ KeyId }) => ({ KeyId, Plaintext: key(), CiphertextBlob: Uint8Array.of(1, 2, 3) }),
  decrypt: async ({ KeyId }) => ({ KeyId, Plaintext: key() }),
};
const access = { kms, keyArn: ${JSON.stringify(KEY)}, context: { dataset: beacon }, dataset: beacon };
const message = await seal(Buffer.from(plaintext), access);
if (Buffer.from(await open(message, access)).toString() !== plaintext) process.exit(9);
message[message.length - 1] ^= 1;
const ways = {
  message: () => open(message, access),
  json: async () => parseJson(Buffer.from('{"' + plaintext)),
};
void ways[way]();
`;

describe("a process that an error ends", () => {
  test.each([
    ["message", "ERR_DATA_NOT_OPENED"],
    ["json", "ERR_TRANSPORT_FRAME_INVALID"],
  ])("G08: %s: neither what Node prints nor its report hold what the error is about", async (way, code) => {
    const script = file(`${way}.mjs`, PROGRAM);
    const report = `report-${way}.json`;
    const flags = ["--report-uncaught-exception", `--report-directory=${folder}`, `--report-filename=${report}`];
    const child = spawn(process.execPath, [...flags, script, beacon.text], { env: { PATH: process.env["PATH"] } });
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => said.push(chunk));
    child.stdin.end(JSON.stringify({ plaintext: plaintext.text, dataKey: dataKey.text, beacon: beacon.text, way }));
    const [status] = (await once(child, "close")) as [number];
    const hunt = new Hunt(plaintext, dataKey);
    const output = Buffer.concat(said).toString();
    expect([status, output]).toEqual([1, expect.stringContaining(code)]);
    hunt.note("output", [output, way === "message" ? "" : beacon.text]);
    hunt.note("report", readFileSync(at(report), "utf8"));
    hunt.end({ output: beacon, report: beacon });
  });
});
