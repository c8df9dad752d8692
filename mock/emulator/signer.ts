/**
 * Writes what QEMU's NSM signs with: the leaf's key, and the chain from a root that is made for the run.
 *
 * The key lies in a file of mode 0600 while the guest runs. Whoever reads it can write any document, which is why the
 * root is trusted by nobody who does not name it.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MockPki } from "../nsm/pki.ts";

export interface SignerFiles {
  /** PEM file: PKCS #8, P-384. */
  readonly key: string;
  /** PEM file: root first, leaf last. */
  readonly chain: string;
}

/** @param pki one whose leaf keys can be exported */
export async function writeSigner(pki: MockPki, moduleId: string, folder: string): Promise<SignerFiles> {
  const { certificate, cabundle, signingKey } = await pki.issueLeaf(moduleId);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", signingKey));
  const [key, chain] = [join(folder, "nsm-key.pem"), join(folder, "nsm-chain.pem")];
  await writeFile(key, pem("PRIVATE KEY", pkcs8), { mode: 0o600, flag: "wx" });
  await writeFile(chain, [...cabundle, certificate].map((der) => pem("CERTIFICATE", der)).join(""), { flag: "wx" });
  return { key, chain };
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
