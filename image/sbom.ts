/**
 * Writes an image's bill of materials: SPDX 2.3 in JSON, one package for each input and one file for each file
 * and link in the image.
 *
 * The same image gives the same text: no clock, and the namespace is made of the image's own digest. What the bundler
 * put into an application's file is not seen here; npm's lock names it.
 *
 * Source: SPDX specification 2.3, clauses 6 (document), 7 (package), 8 (file), 11 (relationships).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { utf8 } from "../shared/bytes.ts";
import { BUILD_TIME } from "./identity.ts";
import { sha256 } from "./inputs.ts";
import type { Manifest } from "./manifest.ts";
import type { Cooked } from "./recipe.ts";

const NOT_SAID = "NOASSERTION";
const IMAGE_ID = "SPDXRef-Image";
/** Inputs that are no one file. */
const DERIVED: Readonly<Record<string, string>> = {
  app: "a listing of the folder with each file's SHA-256",
  rootfs: "a listing of the folder with each file's SHA-256",
  "init source": "a listing of the folder with each file's SHA-256",
  "init compiler": "what the compiler says of itself",
};

interface Relationship {
  readonly spdxElementId: string;
  readonly relationshipType: "DESCRIBES" | "CONTAINS" | "GENERATED_FROM";
  readonly relatedSpdxElement: string;
}

/** The document as text, ending in a line feed. */
export function writeSbom({ recipe, inputs, image }: Manifest, { contents }: Pick<Cooked, "contents">): string {
  const packages = Object.entries(inputs).map(([name, pin], index) => ({
    ...packageOf(`SPDXRef-Input-${index}`, name, pin.sha256),
    ...(Object.hasOwn(DERIVED, name) && { comment: `the checksum is that of ${DERIVED[name]}, not of a file` }),
    ...(pin.version !== undefined && { versionInfo: pin.version }),
  }));
  const files = filesOf(contents);
  const relationships: Relationship[] = [
    { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: IMAGE_ID },
    ...packages.map(({ SPDXID }) => related("GENERATED_FROM", SPDXID)),
    ...files.map(({ SPDXID }) => related("CONTAINS", SPDXID)),
  ];
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `${recipe.name}-${recipe.version}`,
    documentNamespace: `urn:cloister:sbom:sha256:${image.sha256}`,
    creationInfo: { created: BUILD_TIME, creators: ["Tool: cloister"] },
    packages: [{ ...packageOf(IMAGE_ID, recipe.name, image.sha256), versionInfo: recipe.version }, ...packages],
    files,
    relationships,
  };
  return `${JSON.stringify(document, null, 1)}\n`;
}

function related(relationshipType: Relationship["relationshipType"], relatedSpdxElement: string): Relationship {
  return { spdxElementId: IMAGE_ID, relationshipType, relatedSpdxElement };
}

function packageOf(SPDXID: string, name: string, digest: string) {
  return {
    SPDXID,
    name,
    downloadLocation: NOT_SAID,
    filesAnalyzed: false,
    checksums: [{ algorithm: "SHA256", checksumValue: digest }],
    licenseConcluded: NOT_SAID,
    licenseDeclared: NOT_SAID,
    copyrightText: NOT_SAID,
  };
}

function filesOf(contents: Cooked["contents"]) {
  return [...contents.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, entry]) => {
      if (entry.kind === "directory") return [];
      if (entry.kind === "file") return [{ path, data: entry.data, said: {} }];
      return [
        { path, data: utf8(entry.target), said: { comment: "a symbolic link; the checksums are its target's text" } },
      ];
    })
    .map(({ path, data, said }, index) => ({
      SPDXID: `SPDXRef-File-${index}`,
      fileName: `./${path}`,
      checksums: [
        // SPDX 2.3 §8.4.1 demands SHA-1; SHA-256 is the one to compare.
        { algorithm: "SHA1", checksumValue: createHash("sha1").update(data).digest("hex") },
        { algorithm: "SHA256", checksumValue: sha256(data) },
      ],
      licenseConcluded: NOT_SAID,
      copyrightText: NOT_SAID,
      ...said,
    }));
}
