import { describe, expect, test } from "vitest";
import { fromHex, toHex, utf8 } from "../../shared/bytes.ts";
import { diffEif } from "../../shared/eif/diff.ts";
import { appraiseEif, expectedImageFromJson, measuredSections } from "../../shared/eif/expected.ts";
import { type EifInspection, inspectEif } from "../../shared/eif/inspect.ts";
import { EIF_FIELD } from "../../shared/eif/layout.ts";
import { bytesSource } from "../../shared/eif/source.ts";
import { buildEif } from "../../shared/eif/write.ts";
import { baseline, content, metadata, nodeDigests, sealed, verdict, viewOf } from "./craft.ts";

const inspect = (file: Uint8Array): Promise<EifInspection> =>
  inspectEif(bytesSource(file), { digests: nodeDigests, eachSection: true });
const changed = (change: Partial<typeof content>): Promise<EifInspection> =>
  inspect(buildEif({ ...content, ...change }));
const image = await inspect(baseline());

describe("diffEif", () => {
  const memory = baseline();
  viewOf(memory).setBigUint64(EIF_FIELD.defaultMemory, 1n);
  test.each<[string, Promise<EifInspection>, string, string[]]>([
    ["the same bytes", inspect(baseline()), "identical", []],
    [
      "E14: bytes from the command line to the first ramdisk",
      changed({ cmdline: "console=tty", ramdisks: [utf8("S0init"), utf8("app")] }),
      "boundaries",
      ["section 1", "section 3", "header crc32"],
    ],
    [
      "E15: the application's ramdisk in two",
      changed({ ramdisks: [utf8("init"), utf8("a"), utf8("pp")] }),
      "boundaries",
      ["section 4", "section 5", "header size", "header crc32"],
    ],
    [
      "E15: bytes between the first and the second ramdisk",
      changed({ ramdisks: [utf8("inita"), utf8("pp")] }),
      "measured",
      ["pcr 1", "pcr 2", "section 3", "section 4", "header crc32"],
    ],
    [
      "another application",
      changed({ ramdisks: [utf8("init"), utf8("apq")] }),
      "measured",
      ["pcr 0", "pcr 2", "section 4", "header crc32"],
    ],
    [
      "other metadata",
      changed({ metadata: { ...metadata, ImageVersion: "2" } }),
      "unmeasured",
      ["section 2", "header crc32"],
    ],
    ["another default of memory", inspect(sealed(memory)), "unmeasured", ["header defaultMemoryBytes", "header crc32"]],
    ["another architecture", changed({ architecture: "arm64" }), "unmeasured", ["header flags", "header crc32"]],
  ])("%s → $2", async (_, other, expected, places) => {
    const { verdict: found, differences } = diffEif(image, await other);
    expect(found).toBe(expected);
    const shown = differences.map((d) => `${d.kind} ${d.kind === "header" ? d.field : d.index}`);
    expect(shown).toEqual(places);
    expect(diffEif(await other, image).verdict).toBe(expected);
  });

  test("needs the sections' digests", async () => {
    const without = await inspectEif(bytesSource(baseline()), { digests: nodeDigests });
    expect(await verdict(() => diffEif(without, image))).toBe("TypeError");
  });
});

const pcr = (byte: number): string => byte.toString(16).padStart(2, "0").repeat(48);
const file = (change: object = {}): object => ({
  Measurements: { HashAlgorithm: "Sha384 { ... }", PCR0: pcr(0), PCR1: pcr(1), PCR2: pcr(2), ...change },
});

describe("what is expected, as JSON", () => {
  test("is what nitro-cli prints, with the section table if one likes", () => {
    const read = expectedImageFromJson({ ...file({ PCR8: pcr(8) }), Sections: [{ type: "kernel", size: 6 }] });
    expect([read.measurements.pcr1, read.measurements.pcr8]).toEqual([fromHex(pcr(1)), fromHex(pcr(8))]);
    expect(read.sections).toEqual([{ type: "kernel", size: 6 }]);
    expect(expectedImageFromJson(file())).not.toHaveProperty("sections");
    expect(expectedImageFromJson(file({ HashAlgorithm: "Sha512_48 { .. }" }))).toBeDefined();
  });

  test.each<[string, unknown, string]>([
    ["no object", [], "ERR_CONFIG_FIELD_INVALID file"],
    ["no measurements", {}, "ERR_CONFIG_FIELD_MISSING Measurements"],
    ["no PCR2", file({ PCR2: undefined }), "ERR_CONFIG_FIELD_MISSING Measurements.PCR2"],
    ["a short PCR", file({ PCR0: pcr(0).slice(2) }), "ERR_CONFIG_FIELD_INVALID Measurements.PCR0"],
    ["a PCR8 that is a number", file({ PCR8: 8 }), "ERR_CONFIG_FIELD_INVALID Measurements.PCR8"],
    ["PCR3, which is not the image's", file({ PCR3: pcr(3) }), "ERR_CONFIG_FIELD_UNKNOWN Measurements.PCR3"],
    ["another hash", file({ HashAlgorithm: "Sha256" }), "ERR_CONFIG_FIELD_INVALID Measurements.HashAlgorithm"],
    ["a word that is misspelt", { ...file(), Section: [] }, "ERR_CONFIG_FIELD_UNKNOWN file.Section"],
    ["sections that are no list", { ...file(), Sections: {} }, "ERR_CONFIG_FIELD_INVALID Sections"],
    [
      "a section that nothing measures",
      { ...file(), Sections: [{ type: "metadata", size: 1 }] },
      "ERR_CONFIG_FIELD_INVALID Sections[0].type",
    ],
    [
      "a section of no bytes",
      { ...file(), Sections: [{ type: "kernel", size: 0 }] },
      "ERR_CONFIG_FIELD_INVALID Sections[0].size",
    ],
  ])("%s → $2", async (_, json, expected) => {
    expect(await verdict(() => expectedImageFromJson(json))).toBe(expected);
  });
});

describe("appraiseEif", () => {
  const { measurements } = image;
  const sections = measuredSections(image.sections);
  const now = new Date(0);
  test.each<[string, object, string]>([
    ["the image itself", {}, "accepted"],
    ["another PCR0", { pcr0: new Uint8Array(48) }, "0 actual"],
    ["another PCR1", { pcr1: new Uint8Array(48) }, "1 actual"],
    ["another PCR2", { pcr2: new Uint8Array(48) }, "2 actual"],
    ["a signer, of an image that nobody signed", { pcr8: new Uint8Array(48) }, "8 absent"],
  ])("%s: $2", async (_, change, expected) => {
    const found = await refusal(() =>
      appraiseEif(image, { measurements: { ...measurements, ...change }, sections }, { now }),
    );
    expect(found).toBe(expected);
  });

  async function refusal(call: () => void): Promise<string> {
    try {
      call();
      return "accepted";
    } catch (error) {
      const { code, details } = error as { code: string; details: { index: number; actual: string } };
      expect(code).toBe("ERR_EIF_MEASUREMENT");
      const known = Object.values(measurements).map((value) => value && toHex(value));
      return `${details.index} ${known.includes(details.actual) ? "actual" : details.actual}`;
    }
  }

  test("E14: the twin has the expected PCRs, and not the expected sections", async () => {
    const twin = await changed({ cmdline: "console=tty", ramdisks: [utf8("S0init"), utf8("app")] });
    expect(await verdict(() => appraiseEif(twin, { measurements }, { now }))).toBe("accepted");
    expect(await verdict(() => appraiseEif(twin, { measurements, sections }, { now }))).toBe("ERR_EIF_TABLE 1");
  });

  test("E15: a section more than expected, with equal PCRs", async () => {
    const more = await changed({ ramdisks: [utf8("init"), utf8("ap"), utf8("p")] });
    expect(await verdict(() => appraiseEif(more, { measurements, sections }, { now }))).toBe("ERR_EIF_TABLE 3");
    const longer = [...sections, { type: "ramdisk", size: 1 } as const];
    expect(await verdict(() => appraiseEif(image, { measurements, sections: longer }, { now }))).toBe(
      "ERR_EIF_TABLE 4",
    );
  });

  test("metadata may differ: nothing measures it", async () => {
    const other = await changed({ metadata: { ...metadata, ImageName: "another" } });
    expect(await verdict(() => appraiseEif(other, { measurements, sections }, { now }))).toBe("accepted");
  });
});
