/**
 * Every recipe there is.
 *
 * @module
 */
import type { Recipe } from "../session.ts";
import { dataKeyRecipes } from "./data-keys.ts";
import { encryptionRecipes } from "./encryption.ts";
import { importRotationRecipes } from "./import-rotation.ts";
import { importRecipes } from "./imports.ts";
import { keyRecipes } from "./keys.ts";
import { macRecipes } from "./macs.ts";
import { rotationRecipes } from "./rotation.ts";
import { sessionRecipes } from "./sessions.ts";
import { signatureRecipes } from "./signatures.ts";
import { tagRecipes } from "./tags.ts";

export const RECIPES: readonly Recipe[] = [
  ...[...keyRecipes, ...tagRecipes, ...encryptionRecipes, ...dataKeyRecipes, ...signatureRecipes],
  ...[...macRecipes, ...importRecipes, ...rotationRecipes, ...importRotationRecipes, ...sessionRecipes],
];
