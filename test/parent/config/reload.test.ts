import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromFile } from "../../../parent/config/credentials-file.ts";
import { parseParentConfig } from "../../../parent/config/read.ts";
import { checkReload } from "../../../parent/config/reload.ts";
import { codeOf } from "../../transport/streams.ts";
import { configFile, shown } from "./bed.ts";

const BASE = `enclave: { platform: nitro, image: app.eif }
egress:
  allowlist: [a.test:443]
ingress: { listen: "tcp://127.0.0.1:8443" }
`;

const verdict = (next: string): string => {
  try {
    checkReload(parseParentConfig(BASE, "/etc/parent.yaml"), parseParentConfig(next, "/etc/parent.yaml"));
    return "taken";
  } catch (error) {
    return shown(error);
  }
};

describe("R15: what may change while the parent runs", () => {
  test.each<[string, string, string]>([
    ["nothing", BASE, "taken"],
    ["the allowlist", BASE.replace("a.test:443", "b.test:443, c.test:443"), "taken"],
    ["fixed places", BASE.replace("[a.test:443]", "[a.test:443]\n  hosts: { a.test:443: 127.0.0.1:1 }"), "taken"],
    ["targets", BASE.replace('8443" }', '8443", targets: ["vsock://17:8080"] }'), "taken"],
    ["the time for draining", `${BASE}limits: { drainMs: 1000 }\n`, "taken"],
    [
      "defaults that are written",
      BASE.replace("[a.test:443]", "[a.test:443]\n  connect: 8001").replace("app.eif", "app.eif, cid: 16"),
      "taken",
    ],
    ["a default limit that is written", BASE.replace(":443]", ":443]\n  limits: { maxConnections: 1024 }"), "taken"],
    ["the same in another spelling", `${BASE}  `.replace("a.test:443", "'a.test:443'"), "taken"],
    ["the image", BASE.replace("app.eif", "other.eif"), "INVALID enclave.image 1:29"],
    ["the context id", BASE.replace("app.eif }", "app.eif, cid: 17 }"), "INVALID enclave.cid 1:45"],
    ["a door", BASE.replace("[a.test:443]", "[a.test:443]\n  connect: 9001"), "INVALID egress.connect 4:3"],
    [
      "a service's limit",
      BASE.replace("[a.test:443]", "[a.test:443]\n  limits: { maxConnections: 5 }"),
      "INVALID egress.limits.maxConnections 4:13",
    ],
    ["the clients' door", BASE.replace("8443", "8444"), "INVALID ingress.listen 4:12"],
    ["another enclave", BASE.replace("image: app.eif", "attach: vsock://16"), "INVALID enclave.image 1:1"],
    ["a service more", `${BASE}logs: { to: stdout }\n`, "INVALID logs 5:1"],
    ["a service less", BASE.replace(/ingress.*\n/, ""), "INVALID ingress 1:1"],
  ])("%s", (_, next, expected) => {
    expect(verdict(next)).toBe(expected);
  });
});

describe("credentials from a file", () => {
  const CREDENTIALS = {
    ...{ AccessKeyId: "ASIAEXAMPLEEXAMPLE00", SecretAccessKey: "secret-access-key-of-the-role" },
    ...{ Token: "token-1", Expiration: "2999-01-01T00:00:00Z" },
  };

  test("are read anew each time", async () => {
    const path = configFile(JSON.stringify(CREDENTIALS), 0o600);
    const provide = fromFile(path);
    expect((await provide()).Token).toBe("token-1");
    writeFileSync(path, JSON.stringify({ ...CREDENTIALS, Token: "token-2" }));
    expect((await provide()).Token).toBe("token-2");
  });

  test("G03: a file that others may read, that is no JSON, that is something else: refused without a word of it", async () => {
    const refusals: [string, number, string][] = [
      [JSON.stringify(CREDENTIALS), 0o640, "ERR_CONFIG_FILE"],
      [`{"SecretAccessKey": canary-canary`, 0o600, "ERR_CONFIG_FILE"],
      [JSON.stringify({ ...CREDENTIALS, AccessKeyId: "canary-canary" }), 0o600, "ERR_TRANSPORT_CREDENTIALS_INVALID"],
    ];
    for (const [text, mode, code] of refusals) {
      const provide = fromFile(configFile(text, mode));
      expect(await codeOf(Promise.resolve(provide()))).toBe(code);
      const error: unknown = await Promise.resolve(provide()).catch((cause: unknown) => cause);
      const all = error instanceof Error ? JSON.stringify([error, error.stack, String(error.cause)]) : "";
      expect(all).toContain(code);
      expect(all).not.toMatch(/canary|secret-access/);
    }
  });
});
