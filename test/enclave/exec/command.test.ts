/**
 * `cloister enclave exec`: a Python program in a mock enclave by one command, asked by a client who verified it first.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { createAttestedAgent } from "../../../client/attested-agent.ts";
import { attestedFetch } from "../../../client/attested-fetch.ts";
import { AWS_NITRO_ROOT_G1, attestationPolicyFromJson, verifyAttestation } from "../../../shared/attestation/index.ts";
import { file, run, shortFolder } from "../../cli/parent-bed.ts";

const dist = fileURLToPath(new URL("../../../dist/", import.meta.url));
const main = join(dist, "cli/main.js");
const isBuilt = existsSync(join(dist, "enclave/exec/exec.bundle.mjs"));
const hasPython = existsSync("/usr/bin/python3");
const folder = shortFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PARENT_YAML = `enclave:
  platform: mock
  image: app.eif
  mockRoot: root.json
ingress:
  listen: tcp://127.0.0.1:0
logs:
  to: stdout
`;

const MAIN_PY = `
import base64, http.server, json, os, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        digest = base64.b64encode(self.rfile.read(int(self.headers["content-length"]))).decode()
        body = json.dumps({"purpose": "receipt", "digest": digest}).encode()
        field = {"Authorization": "Bearer " + os.environ["CLOISTER_TOKEN"]}
        asked = urllib.request.Request(os.environ["CLOISTER_URL"] + "/v1/attest", body, field)
        document = base64.b64decode(json.load(urllib.request.urlopen(asked))["document"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(document)
    def log_message(self, *_): print("asked", flush=True)
print("python is up", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`;

function command(...args: readonly string[]): Promise<{ readonly code: number; readonly stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, "enclave", "exec", ...args], { cwd: folder }, (error, _, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stderr });
    });
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

describe.skipIf(!isBuilt)("cloister enclave exec (needs `npm run build`)", () => {
  test.skipIf(!hasPython)(
    "python serves and attests from inside; the client believes this image alone",
    async () => {
      mkdirSync(join(folder, "app"));
      file(folder, "app/main.py", MAIN_PY);
      const config = file(folder, "parent.yaml", PARENT_YAML);
      const options = ["--config", config, "--app", join(folder, "app"), "--forward", `${await freePort()}`];
      const args = ["enclave", "exec", ...options, "--dangerously-log-output", "--", "python3", "main.py"];
      const parent = run(args, { XDG_RUNTIME_DIR: folder });
      try {
        await parent.says('"event":"up"');
        await expect.poll(() => parent.stdout(), { timeout: 10_000 }).toContain("python is up");
        const policy = attestationPolicyFromJson(JSON.parse(readFileSync(join(folder, "app.eif.policy.json"), "utf8")));
        const agent = createAttestedAgent(policy);
        const door = /clients connect to tcp:\/\/(\S+);/.exec(parent.stderr())?.[1];
        const digest = new Uint8Array(48).fill(6);
        const response = await attestedFetch(`https://${door}/`, { agent, method: "POST", body: digest });
        const document = new Uint8Array(await response.arrayBuffer());
        const userData = { purpose: "receipt", digest, minimumImageVersion: "unchecked" } as const;
        const demanded = { ...policy, userData, nonce: "unchecked", publicKey: "unchecked" } as const;
        expect((await verifyAttestation(document, demanded)).debug).toBe(false);
        agent.destroy();
      } finally {
        parent.child.kill("SIGTERM");
        expect(await parent.ended).toBe(0);
      }
    },
    60_000,
  );

  test("--output writes the folder and runs nothing; what is there stays", async () => {
    const output = join(folder, "written");
    expect((await command("--output", output, "--forward", "80", "--", "a", "--b", '"c"')).code).toBe(0);
    expect(readdirSync(output).sort()).toEqual(["app.mjs", "cloister-exec.mjs"]);
    const text = readFileSync(join(output, "app.mjs"), "utf8");
    const definition = JSON.parse(/definition = (\{[\s\S]*?\n\});/.exec(text)?.[1] ?? "") as object;
    expect(definition).toEqual({ command: ["a", "--b", '"c"'], forward: 80 });
    expect((await command("--output", output, "--", "other")).code).toBe(2);
    expect(readFileSync(join(output, "app.mjs"), "utf8")).toBe(text);
  });

  test("--entry writes what starts it in a file system of one's own, under the roots that are named", async () => {
    expect((await command("--output", join(folder, "aws"), "--entry", "nitro", "--", "sh")).code).toBe(0);
    const text = readFileSync(join(folder, "aws/main.mjs"), "utf8");
    expect(text).toContain("openNsmDevice()");
    expect(text).toContain(Buffer.from(AWS_NITRO_ROOT_G1).toString("base64"));
    file(folder, "roots.json", "{}");
    expect((await command("--output", join(folder, "none"), "--entry", "roots.json", "--", "sh")).code).toBe(2);
    expect(existsSync(join(folder, "none"))).toBe(false);
  });

  test.each([
    ["an entry without an output", ["--config", "parent.yaml", "--entry", "nitro", "--", "sh"]],
    ["no program", ["--output", "x"]],
    ["nothing behind --", ["--output", "x", "--"]],
    ["neither a parent nor a folder", ["--", "sh"]],
    ["both", ["--output", "x", "--config", "parent.yaml", "--", "sh"]],
    ["port 0", ["--output", "x", "--forward", "0", "--", "sh"]],
    ["port 65536", ["--output", "x", "--forward", "65536", "--", "sh"]],
    ["a folder that is not there", ["--output", "x", "--app", "nowhere", "--", "sh"]],
  ])("%s: exit code 2", async (_, args) => {
    expect((await command(...args)).code).toBe(2);
  });

  test("files that would be the runtime are refused", async () => {
    mkdirSync(join(folder, "clash"));
    file(folder, "clash/app.mjs", "export {};\n");
    const ran = await command("--output", "y", "--app", "clash", "--", "sh");
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("ERR_CONFIG_FILE");
    expect(existsSync(join(folder, "y/app.mjs"))).toBe(false);
  });
});
