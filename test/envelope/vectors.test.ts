/**
 * Messages that other Encryption SDKs made: AWS's vectors of key commitment, and those of the SDK for .NET.
 *
 * Those under a KMS key of AWS's own need AWS; where the vector says what the data key is, that is given in its place.
 */
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  KeyringNode,
  KeyringTraceFlag,
  type NodeDecryptionMaterial,
  NodeDefaultCryptographicMaterialsManager,
  type NodeEncryptionMaterial,
  type NodeMaterialsManager,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
  RawRsaKeyringNode,
} from "@aws-crypto/client-node";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../shared/bytes.ts";
import { openStream, type Rereadable } from "../../shared/envelope/open-stream.ts";
import type { Suite } from "../../shared/envelope/seal-stream.ts";
import { hasVectors, vector } from "../vectors.ts";
import { drain, fakeKms, KEY, pieces } from "./bed.ts";

const library = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT);
const suiteOf = (message: Uint8Array): Suite | undefined =>
  ({ "020578": "signed", "020478": "unsigned" })[Buffer.from(message.subarray(0, 3)).toString("hex")] as
    | Suite
    | undefined;

/** Opens under keys that are no KMS's, whole and in small pieces; both must agree. */
async function openWith(message: Uint8Array, manager: NodeMaterialsManager, over: object) {
  const suite = suiteOf(message) ?? "signed";
  const options = {
    kms: fakeKms(),
    keyArn: KEY,
    dataset: "x",
    context: {},
    suite,
    maxDataKeys: 2,
    materials: { managerFor: () => manager },
    ...over,
  };
  const whole = await drain(openStream([message], options));
  const again: Rereadable = () => pieces(message, 7);
  expect(await drain(openStream(again, options))).toEqual(whole);
  return whole;
}

class StaticKeyring extends KeyringNode {
  readonly key: Uint8Array;
  constructor(key: Uint8Array) {
    super();
    this.key = key;
  }
  override _onEncrypt(): Promise<NodeEncryptionMaterial> {
    throw new Error("not called");
  }
  override async _onDecrypt(material: NodeDecryptionMaterial): Promise<NodeDecryptionMaterial> {
    const trace = {
      keyNamespace: "static",
      keyName: "static",
      flags: KeyringTraceFlag.WRAPPING_KEY_DECRYPTED_DATA_KEY,
    };
    return material.setUnencryptedDataKey(new Uint8Array(this.key), trace);
  }
}

interface CommitmentVector {
  readonly ciphertext: string;
  readonly "decrypted-dek": string;
  readonly "encryption-context": Readonly<Record<string, string>>;
  readonly "plaintext-frames": readonly string[];
  readonly status: boolean;
  readonly comment: string;
}

describe.skipIf(!hasVectors)("L02: AWS's vectors of key commitment (skipped without the reference vectors)", () => {
  const file = JSON.parse(hasVectors ? Buffer.from(vector("esdk/commitment-vectors.json")).toString() : '{"tests":[]}');
  const vectors = file.tests as readonly CommitmentVector[];

  test("there are 26, and two must fail", () => {
    expect(vectors.length).toBe(26);
    expect(vectors.filter(({ status }) => !status).length).toBe(2);
  });

  test.each(vectors)("$comment: as listed", async (each) => {
    const message = new Uint8Array(Buffer.from(each.ciphertext, "base64"));
    const manager = new NodeDefaultCryptographicMaterialsManager(
      new StaticKeyring(new Uint8Array(Buffer.from(each["decrypted-dek"], "base64"))),
    );
    const { "aws-crypto-public-key": _, ...context } = each["encryption-context"];
    const isBound = Object.keys(context).length > 0;
    const plaintext = each.status ? utf8(each["plaintext-frames"].join("")) : new Uint8Array();
    // What is bound to nothing is not opened here at all; the context is checked first.
    const found = await openWith(message, manager, { context: isBound ? context : { any: "pair" } });
    if (isBound) expect(found).toEqual({ given: plaintext, code: each.status ? "ok" : "ERR_DATA_NOT_OPENED" });
    else expect(found).toEqual({ given: new Uint8Array(), code: "ERR_DATA_NOT_OPENED" });
    const byLibrary = library.decrypt(
      new StaticKeyring(manager.keyring ? (manager.keyring as StaticKeyring).key : new Uint8Array()),
      message,
    );
    if (each.status) expect((await byLibrary).plaintext).toEqual(Buffer.from(plaintext));
    else await expect(byLibrary).rejects.toThrow();
  });
});

interface Manifest {
  readonly tests: Readonly<Record<string, ManifestTest>>;
}
interface ManifestTest {
  readonly ciphertext: string;
  readonly "master-keys": readonly MasterKey[];
  readonly cmm: "Default" | "RequiredEncryptionContext";
  readonly "encryption-context"?: Readonly<Record<string, string>>;
  readonly "reproduced-encryption-context"?: Readonly<Record<string, string>>;
  readonly result: { readonly output: { readonly plaintext: string } };
}
interface MasterKey {
  readonly type: string;
  readonly key: string;
  readonly "provider-id"?: string;
  readonly "encryption-algorithm"?: string;
  readonly "padding-hash"?: string;
}

const ARCHIVES = ["esdk/v4-Net-4.0.1.zip", "esdk/valid-Net-4.0.0.zip"] as const;

describe.skipIf(!hasVectors).each(ARCHIVES)(
  "L02: messages of the SDK for .NET, %s (skipped without the reference vectors)",
  async (archive) => {
    const { readZip } = await import("./zip.ts");
    const files = hasVectors ? readZip(vector(archive)) : new Map<string, Uint8Array>();
    const json = (name: string): unknown => JSON.parse(Buffer.from(files.get(name) ?? utf8("{}")).toString());
    const { tests = {} } = json("manifest.json") as Partial<Manifest>;
    const { keys = {} } = json("keys.json") as { keys?: Record<string, { material: string; "key-id": string }> };
    const at = (uri: string): Uint8Array => files.get(uri.replace("file://", "")) ?? new Uint8Array();
    const rows = Object.entries(tests).filter(
      ([
        ,
        {
          "master-keys": [first],
        },
      ]) => first?.type === "raw",
    );

    /** A keyring of the vector's first raw key. */
    function keyringOf({ key, ...rest }: MasterKey): KeyringNode {
      const { material = "", "key-id": keyName = "" } = keys[key] ?? {};
      const keyNamespace = rest["provider-id"] ?? "";
      if (rest["encryption-algorithm"] === "aes")
        return new RawAesKeyringNode({
          ...{ keyName, keyNamespace, unencryptedMasterKey: new Uint8Array(Buffer.from(material, "base64")) },
          wrappingSuite: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
        });
      const oaepHash = rest["padding-hash"] as "sha256";
      return new RawRsaKeyringNode({ keyName, keyNamespace, rsaKey: { privateKey: material }, oaepHash });
    }

    test.each(rows)("%s", async (_, row) => {
      const message = at(row.ciphertext);
      const [first] = row["master-keys"];
      if (!first) throw new Error("a vector without a key");
      const expected = at(row.result.output.plaintext);
      const context = row["encryption-context"] ?? {};
      const keyring = keyringOf(first);
      const required = row.cmm === "Default" ? [] : Object.keys(context);
      // The library for JavaScript has no required context keys: it opens the others.
      if (required.length === 0)
        expect((await library.decrypt(keyring, message)).plaintext).toEqual(Buffer.from(expected));
      const manager = new NodeDefaultCryptographicMaterialsManager(keyring);
      const options = { context, requiredContextKeys: required };
      if (suiteOf(message) === undefined || Object.keys(context).length === 0) {
        const found = await openWith(message, manager, { ...options, context: { ...context, more: "" } });
        expect(found).toEqual({ given: new Uint8Array(), code: "ERR_DATA_NOT_OPENED" });
      } else {
        expect(await openWith(message, manager, options)).toEqual({ given: expected, code: "ok" });
        const without = { ...options, context: { key1: "other" }, requiredContextKeys: required.slice(0, 1) };
        expect((await openWith(message, manager, without)).code).toBe("ERR_DATA_NOT_OPENED");
      }
    });

    test("those under AWS's own KMS keys are counted: they need AWS", () => {
      const count = Object.keys(tests).length - rows.length;
      expect(count).toBe(archive.includes("v4") ? 33 : 0);
      expect(rows.length).toBeGreaterThan(4);
    });
  },
);

test("the suites that are opened are the library's", () => {
  expect(AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384).toBe(0x0578);
  expect(AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY).toBe(0x0478);
});
