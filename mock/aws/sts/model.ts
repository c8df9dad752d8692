/**
 * AWS's model of STS, and its limits applied to what reaches STS by another way than parameters.
 *
 * Tags and source identities of tokens and assertions become a session's like those of AssumeRole, so they are held to
 * the same shapes. Two members that let somebody in are secrets here, which the model does not say: no message quotes them.
 *
 * @module
 */
import { AwsFault } from "../fault.ts";
import type { Json, JsonObject } from "../json.ts";
import { validateInput } from "../model/input.ts";
import { readServiceModel, type ServiceModel, type Shape, shapeOf } from "../model/service-model.ts";
import type { SessionTagInput } from "./session-tags.ts";

const AWS_MODEL = readServiceModel(import.meta.url);
const SECRETS = ["contextAssertionType", "tokenCodeType"] as const;

export const MODEL: ServiceModel = {
  ...AWS_MODEL,
  shapes: {
    ...AWS_MODEL.shapes,
    ...Object.fromEntries(
      SECRETS.map((name): [string, Shape] => [name, { ...shapeOf(AWS_MODEL, name), sensitive: true }]),
    ),
  },
};

/** What a token or an assertion says of the session; as it was read, so of any type. */
export interface GivenClaims {
  readonly Tags?: Json;
  readonly TransitiveTagKeys?: Json;
  readonly SourceIdentity?: Json;
}

export interface SessionClaims extends SessionTagInput {
  readonly SourceIdentity?: string;
}

const CLAIMS: ServiceModel = {
  ...MODEL,
  operations: { claims: { input: "claims", errors: [] } },
  shapes: {
    ...MODEL.shapes,
    claims: {
      type: "structure",
      members: { Tags: "tagListType", TransitiveTagKeys: "tagKeyListType", SourceIdentity: "sourceIdentityType" },
    },
  },
};

/** @throws {AwsFault} `InvalidIdentityToken` */
export function readClaims(given: GivenClaims): SessionClaims {
  try {
    return validateInput(CLAIMS, "claims", given as JsonObject);
  } catch (cause) {
    if (!(cause instanceof AwsFault)) throw cause;
    throw invalidToken(cause.message);
  }
}

export function invalidToken(message: string): AwsFault {
  return new AwsFault("InvalidIdentityToken", message);
}
