/**
 * The form of a seed file, as a JSON Schema: `schemas/mock-aws-seed.json` is this object, and a test compares the two.
 *
 * What a policy, a key or an account must be beyond its form is asked where it is made.
 *
 * Source: JSON Schema 2020-12.
 *
 * @module
 */

/** A schema of these words only; the variants of `anyOf` are told apart by their JSON type. */
export interface SeedSchema {
  readonly description?: string;
  readonly $schema?: string;
  readonly title?: string;
  readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly minItems?: number;
  readonly items?: SeedSchema;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, SeedSchema>>;
  readonly additionalProperties?: false | SeedSchema;
  readonly anyOf?: readonly SeedSchema[];
}

const text = { type: "string" } as const;
const policy = { type: "object", description: "a policy document, as an object" } as const;
const tags = { type: "object", description: "tag key to tag value", additionalProperties: text } as const;
const accountId = { type: "string", pattern: "^[0-9]{12}$", description: "12 digits" } as const;
const region = {
  type: "string",
  pattern: "^[a-z]{2}(-[a-z]+)+-[0-9]$",
  description: "a Region like eu-central-1",
} as const;
const aliases = {
  type: "array",
  description: "names like alias/invoices",
  items: { type: "string", pattern: "^alias/", description: "a name like alias/invoices" },
} as const;

function list(items: SeedSchema): SeedSchema {
  return { type: "array", items };
}

function object(required: readonly string[], properties: Readonly<Record<string, SeedSchema>>): SeedSchema {
  return { type: "object", additionalProperties: false, required, properties };
}

const CREDENTIALS: SeedSchema = {
  description: '"generate" for fresh ones, or the access keys; a role\'s need a sessionToken',
  anyOf: [
    { const: "generate" },
    list(
      object(["accessKeyId", "secretAccessKey"], {
        ...{ accessKeyId: text, secretAccessKey: text, sessionToken: text, sessionName: text },
        expiresAt: { type: "string", description: "ISO 8601" },
      }),
    ),
  ],
};

const PRINCIPAL = object(["type", "name"], {
  type: { enum: ["role", "user"] },
  name: text,
  path: { type: "string", description: "a path like /team/" },
  tags,
  identityPolicies: list(policy),
  permissionsBoundary: policy,
  trustPolicy: policy,
  maxSessionDurationSeconds: { type: "integer" },
  mfaDevices: list(object(["serialNumber", "seed"], { serialNumber: text, seed: text })),
  credentials: CREDENTIALS,
});

const ACCOUNT = object(["accountId"], {
  accountId,
  partition: { enum: ["aws", "aws-cn", "aws-us-gov"] },
  principals: list(PRINCIPAL),
  rootCredentials: CREDENTIALS,
  managedPolicies: list(object(["name", "document"], { name: text, document: policy })),
  oidcProviders: list(
    object(["url", "clientIds", "jwks"], {
      ...{ url: text, clientIds: list(text) },
      jwks: object(["keys"], { keys: list({ type: "object", description: "a JSON Web Key" }) }),
    }),
  ),
  samlProviders: list(
    object(["name", "issuer", "certificates"], { name: text, issuer: text, certificates: list(text) }),
  ),
});

const ADJUSTABLE = {
  policy: { ...policy, description: "a key policy, as an object; KMS's default if absent" },
  bypassPolicyLockoutSafetyCheck: {
    type: "boolean",
    description: "takes a policy that shuts out the account's root; a later seed can not change such a key",
  },
  ...{ description: text, aliases, tags },
} as const;

const KEY = object(["name", "accountId", "region"], {
  name: { type: "string", description: "unique in the file; the key id is made from it where none is given" },
  accountId,
  region,
  keyId: {
    type: "string",
    pattern: "^(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$",
    description: "a UUID, or mrk- and 32 hex digits",
  },
  spec: { type: "string", description: "SYMMETRIC_DEFAULT if absent" },
  usage: { type: "string", description: "ENCRYPT_DECRYPT if absent" },
  multiRegion: { type: "boolean" },
  ...ADJUSTABLE,
  rotationPeriodDays: { type: "integer", description: "90 to 2560; no automatic rotation if absent" },
  replicas: list(object(["region"], { region, ...ADJUSTABLE })),
});

export const SEED_SCHEMA: SeedSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Seed of a mock AWS",
  description: "What a mock AWS starts with. What is not named stays as it is; seeding twice changes nothing.",
  ...object([], {
    $schema: text,
    regions: { type: "array", minItems: 1, items: region },
    accounts: list(ACCOUNT),
    keys: list(KEY),
    attestationRoots: {
      type: "array",
      description: "where attestation documents may start at; with none, every document is refused",
      items: {
        description: '"aws", { "file": PEM or DER } or { "der": base64 }',
        anyOf: [
          { const: "aws" },
          object([], {
            file: { type: "string", description: "PEM or DER, relative to the seed file" },
            der: { type: "string", pattern: "^[A-Za-z0-9+/]+={0,2}$", description: "base64 of DER" },
          }),
        ],
      },
    },
    quotas: {
      description: '"off", "aws", or requests per second by name of the quota',
      anyOf: [{ enum: ["off", "aws"] }, { type: "object", additionalProperties: { type: "number", minimum: 0 } }],
    },
  }),
};
