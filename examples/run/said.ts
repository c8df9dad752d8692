/**
 * Waits for what a program that was started says of itself.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";

/** Resolves with the standard error so far, once this is in it. @throws {Error} it ended before */
export function said(child: ChildProcess, what: RegExp): Promise<string> {
  let text = "";
  return new Promise((resolve, reject) => {
    child.stderr?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (what.test(text)) resolve(text);
    });
    child.once("error", reject).once("exit", (code) => reject(new Error(`it ended with ${code}:\n${text}`)));
  });
}
