/**
 * The accounts of an emulated AWS as its operator writes them down: who exists, with which policies, keys and providers.
 *
 * @module
 */
import type { JsonWebKey } from "node:crypto";
import type { PolicyDocument } from "./iam/policy.ts";
import type { Partition } from "./iam/principal.ts";
import type { KnownCredential } from "./sigv4/verify.ts";

export interface MockCredential extends KnownCredential {
  /** Of a role's session; `mock-session` if absent. Users have none. */
  readonly sessionName?: string;
}

/** A virtual device for GetSessionToken and AssumeRole. */
export interface MockMfaDevice {
  /** E.g. `arn:aws:iam::111122223333:mfa/alice`. */
  readonly serialNumber: string;
  /** Base32, as authenticator apps take it: six digits from HMAC-SHA-1, every 30 seconds (RFC 6238). */
  readonly seed: string;
}

export interface MockPrincipal {
  readonly type: "role" | "user";
  readonly name: string;
  /** `/` if absent. */
  readonly path?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly identityPolicies: readonly PolicyDocument[];
  readonly permissionsBoundary?: PolicyDocument;
  readonly credentials: readonly MockCredential[];
  /** Of a role: who may assume it. Nobody if absent. */
  readonly trustPolicy?: PolicyDocument;
  /** Of a role: 3 600 (if absent) to 43 200. */
  readonly maxSessionDurationSeconds?: number;
  /** Of a user. */
  readonly mfaDevices?: readonly MockMfaDevice[];
}

/** A policy that STS can be given by its ARN. */
export interface MockManagedPolicy {
  readonly name: string;
  readonly document: PolicyDocument;
}

/** Whose tokens AssumeRoleWithWebIdentity takes. */
export interface MockOidcProvider {
  /** The tokens' issuer, e.g. `https://token.example.com/pool`. */
  readonly url: string;
  /** The audiences that are accepted. */
  readonly clientIds: readonly string[];
  /** The issuer's keys, RSA or P-256: nothing is fetched. */
  readonly jwks: { readonly keys: readonly JsonWebKey[] };
}

/** Whose assertions AssumeRoleWithSAML takes. */
export interface MockSamlProvider {
  readonly name: string;
  /** Entity id of the identity provider: the assertions' Issuer. */
  readonly issuer: string;
  /** PEM. The signing certificates of the provider's metadata. */
  readonly certificates: readonly string[];
}

export interface MockAccount {
  /** 12 digits. */
  readonly accountId: string;
  /** `aws` if absent. */
  readonly partition?: Partition;
  readonly principals: readonly MockPrincipal[];
  /** Access keys of the account's root user. */
  readonly rootCredentials?: readonly MockCredential[];
  readonly managedPolicies?: readonly MockManagedPolicy[];
  readonly oidcProviders?: readonly MockOidcProvider[];
  readonly samlProviders?: readonly MockSamlProvider[];
}
