/**
 * Gives credentials that lie in a file, read anew each time: for mock mode, and for who has another agent renew them.
 *
 * The file has the form of the container credentials endpoint's answer, belongs to root or this user, and nobody else
 * may read it.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import { type ProvideCredentials, readContainerCredentials } from "../credentials/container-credentials.ts";
import { readOwnFile } from "./file.ts";

/** What the provider throws is a `ConfigError` for the file and a `TransportError` for what is in it. */
export function fromFile(path: string): ProvideCredentials {
  return async () => {
    const text = await readOwnFile(path, { isSecret: true });
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // No cause: V8's message quotes the text.
      throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "not JSON" });
    }
    return readContainerCredentials(value);
  };
}
