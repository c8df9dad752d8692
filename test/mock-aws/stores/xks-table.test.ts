/**
 * Each line of `xks-error-table.md`: a proxy that fails so, and AWS's exception and text in each family of operations.
 *
 * Names, exceptions and texts are read from the file, so none is left out and none is ours.
 */
import { describe, expect, test } from "vitest";
import type { ConnectionErrorCode, KeyStoreBackend } from "../../../mock/aws/kms/stores/backend.ts";
import { hasVectors, vector } from "../../vectors.ts";
import { connected, decrypt, encrypt, keyRequest, refusal, STORE_REQUEST } from "./xks-calls.ts";
import { type Misbehaviour, startXksDouble, type XksDouble } from "./xks-double.ts";

interface Row {
  readonly name: string;
  /** As in the table: family of operations → exception. */
  readonly exceptions: ReadonlyMap<string, string>;
  readonly message: string;
}

function readTable(): readonly Row[] {
  const text = Buffer.from(vector("aws/xks-error-table.md")).toString();
  const [, table = ""] = text.split("| Failure Scenario");
  const words = (cell = ""): string =>
    cell
      .replaceAll(/<br>|\s+/g, " ")
      .replaceAll(/ +/g, " ")
      .trim();
  return [...table.matchAll(/^\| (?:Proxy|AWS|Custom).*$/gm)].map(([line]) => {
    const [, name, exceptions = "", message] = line.split("|");
    const pairs = exceptions.replaceAll(/<br>|\s+/g, "").matchAll(/(\w+)\(([^)]+)\)/g);
    const byFamily = [...pairs].flatMap(([, exception = "", families = ""]) =>
      families.split(",").map((family) => [family, exception] as const),
    );
    return { name: words(name), exceptions: new Map(byFamily), message: words(message) };
  });
}

const rows = hasVectors ? readTable() : [];

const says = (status: number, name: string): Misbehaviour => ({ kind: "error", status, name, message: "proxy's own" });

/** How the double fails, and the code that a store which connects then shows. */
const SCENARIOS: Readonly<Record<string, readonly [how: Misbehaviour | Way, code: ConnectionErrorCode | undefined]>> = {
  "Proxy returns a ValidationException": [says(400, "ValidationException"), "XKS_PROXY_INVALID_RESPONSE"],
  "Proxy returns an InvalidStateException": [says(400, "InvalidStateException"), "XKS_PROXY_INVALID_RESPONSE"],
  "Proxy returns an InvalidCiphertextException": [
    says(400, "InvalidCiphertextException"),
    "XKS_PROXY_INVALID_RESPONSE",
  ],
  "Proxy returns an invalid ciphertext": ["other plaintext", undefined],
  "Proxy returns an InvalidKeyUsageException": [says(400, "InvalidKeyUsageException"), "XKS_PROXY_INVALID_RESPONSE"],
  "Proxy returns an AuthenticationFailedException": ["wrong credential", "INVALID_CREDENTIALS"],
  "Proxy returns an AccessDeniedException": [says(403, "AccessDeniedException"), "XKS_PROXY_ACCESS_DENIED"],
  "Proxy returns a KeyNotFoundException": [says(404, "KeyNotFoundException"), "XKS_PROXY_INVALID_RESPONSE"],
  "Proxy returns an InvalidUriPathException": ["wrong path", "XKS_PROXY_INVALID_CONFIGURATION"],
  "Proxy returns an UnsupportedOperationException": [
    says(501, "UnsupportedOperationException"),
    "XKS_PROXY_INVALID_RESPONSE",
  ],
  "Proxy returns a DependencyTimeoutException": [says(503, "DependencyTimeoutException"), "XKS_PROXY_TIMED_OUT"],
  "Proxy returns a ThrottlingException": [says(429, "ThrottlingException"), "XKS_PROXY_NOT_REACHABLE"],
  "Proxy returns an InternalException": [says(500, "InternalException"), "XKS_PROXY_INVALID_RESPONSE"],
  "AWS KMS cannot establish a TCP connection": ["no listener", "XKS_PROXY_NOT_REACHABLE"],
  "AWS KMS cannot establish a TLS connection": ["other authority", "XKS_PROXY_INVALID_TLS_CONFIGURATION"],
  "AWS KMS encounters a socket timeout": [{ kind: "silent" }, "XKS_PROXY_TIMED_OUT"],
  "Proxy returns a malformed response": [{ kind: "raw", status: 200, body: "{" }, "XKS_PROXY_INVALID_RESPONSE"],
  "Custom key store is not in CONNECTED state": ["disconnected", undefined],
};

type Way = "other plaintext" | "wrong credential" | "wrong path" | "no listener" | "other authority" | "disconnected";

/** A backend that was connected, and whose proxy fails from then on. */
async function meet(double: XksDouble, how: Misbehaviour | Way): Promise<KeyStoreBackend> {
  // Only the failure that is about time runs into a short limit.
  const backend = await connected(double, typeof how === "object" && how.kind === "silent" ? { timeoutMs: 150 } : {});
  if (typeof how === "object") double.misbehave = how;
  else await WAYS[how](double, backend);
  return backend;
}

const WAYS: Readonly<Record<Way, (double: XksDouble, backend: KeyStoreBackend) => unknown>> = {
  "other plaintext": (double) => {
    double.misbehave = { kind: "spoil", change: ({ plaintext }) => ({ plaintext: zeros(String(plaintext)) }) };
  },
  "wrong credential": (double) => {
    double.secret = "a".repeat(43);
  },
  "wrong path": (double) => {
    double.path = "/tenant-2/kms/xks/v1";
  },
  "no listener": (double) => double.stop(),
  "other authority": (double) => double.changeAuthority(),
  disconnected: (_double, backend) => backend.disconnect(),
};

const zeros = (base64: string): string => Buffer.alloc(Buffer.from(base64, "base64").length).toString("base64");

describe.skipIf(!hasVectors)(`xks-error-table.md${hasVectors ? "" : " (skipped: no reference vectors)"}`, () => {
  test("every line has a scenario, and every scenario a line", () => {
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(SCENARIOS)));
    expect(rows).toHaveLength(18);
  });

  test.each(rows)("$name", async ({ name, exceptions, message }) => {
    const [how = "disconnected", code] = SCENARIOS[name] ?? [];
    await using double = await startXksDouble();
    const good = await encrypt(await connected(double));
    await using backend = await meet(double, how);
    const told = new Map<string, unknown>();
    for (const family of exceptions.keys()) {
      const { error, fault } = await refusal(callOf(family, backend, good));
      told.set(family, error);
      expect(fault.message).toBe(message);
    }
    expect(told).toEqual(exceptions);
    if (code !== undefined) expect((await refusal(backend.connect(STORE_REQUEST))).code).toBe(code);
  });

  test.each(rows.filter(({ exceptions }) => exceptions.has("Cryptographicoperations")))(
    "$name, when encrypting",
    async ({ name, message }) => {
      await using double = await startXksDouble();
      await using backend = await meet(double, SCENARIOS[name]?.[0] ?? "disconnected");
      const { error, fault } = await refusal(encrypt(backend));
      expect(error).toBe("KMSInvalidStateException");
      expect(fault.message).toBe(message);
    },
  );
});

function callOf(family: string, backend: KeyStoreBackend, good: Uint8Array): Promise<unknown> {
  switch (family) {
    case "Create/UpdateCustomKeyStore":
      return backend.check(STORE_REQUEST);
    case "CreateKey":
      return backend.createKey({ request: keyRequest("CreateKey"), xksKeyId: "key-1" });
    case "Cryptographicoperations":
    case "Cryptooperations":
    case "Decrypt":
      return decrypt(backend, good, { operation: "Decrypt" });
    case "ReEncrypt":
      return decrypt(backend, good, { operation: "ReEncrypt" });
    default:
      throw new Error(`the table has a family that the test does not know: ${family}`);
  }
}
