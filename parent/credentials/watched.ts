/**
 * A provider of credentials whose doings an operator can see: how often it failed, and until when what it gave last is
 * good.
 *
 * Around the source itself, behind any cache: a cache serves on while its source fails.
 *
 * @module
 */
import type { ProvideCredentials } from "./container-credentials.ts";

export interface CredentialsFacts {
  /** When what was given last ends, in milliseconds since 1970; absent while there was nothing. */
  readonly expireAtMs?: number;
  readonly refreshFailures: number;
  /** Whether the last question had an answer; true before the first. */
  readonly isWell: boolean;
}

export interface WatchedCredentials {
  readonly provide: ProvideCredentials;
  facts(): CredentialsFacts;
}

export function watchCredentials(source: ProvideCredentials): WatchedCredentials {
  let facts: CredentialsFacts = { refreshFailures: 0, isWell: true };
  return {
    async provide() {
      try {
        const credentials = await source();
        facts = { ...facts, expireAtMs: Date.parse(credentials.Expiration), isWell: true };
        return credentials;
      } catch (error) {
        facts = { ...facts, refreshFailures: facts.refreshFailures + 1, isWell: false };
        throw error;
      }
    },
    facts: () => facts,
  };
}
