/**
 * Trims a botocore service model to what the emulator reads: operations, and the shapes that they reach without prose.
 *
 *   node mock/aws/model/generate.mjs <service-2.json> <model.json> [operation ...]
 *
 * Without names of operations all are kept.
 *
 * The result is derived from botocore (Apache-2.0, see NOTICE) and committed; everything else stays where it came from.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

const SHAPE_MEMBERS = ["type", "required", "min", "max", "pattern", "enum", "sensitive", "flattened"];

/** @param {any} shape */
function trimShape(shape) {
  const trimmed = Object.fromEntries(SHAPE_MEMBERS.filter((name) => name in shape).map((name) => [name, shape[name]]));
  for (const name of ["member", "key", "value"]) if (shape[name]) trimmed[name] = shape[name].shape;
  if (shape.members)
    trimmed.members = Object.fromEntries(Object.entries(shape.members).map(([name, { shape: of }]) => [name, of]));
  return trimmed;
}

/**
 * @param {any} model
 * @param {readonly string[]} wanted
 */
function trim(model, wanted) {
  const shapes = {};
  const reach = (name) => {
    if (name === undefined || name in shapes) return;
    const shape = trimShape(model.shapes[name]);
    shapes[name] = shape;
    for (const next of [shape.member, shape.key, shape.value, ...Object.values(shape.members ?? {})]) reach(next);
  };
  const entries = Object.entries(model.operations).filter(([name]) => wanted.length === 0 || wanted.includes(name));
  const operations = Object.fromEntries(
    entries.map(([name, { input, output, errors = [] }]) => {
      for (const shape of [input?.shape, output?.shape]) reach(shape);
      const result = { ...(output ? { output: output.shape } : {}) };
      if (output?.resultWrapper) result.resultWrapper = output.resultWrapper;
      return [name, { ...(input ? { input: input.shape } : {}), ...result, errors: errors.map(({ shape }) => shape) }];
    }),
  );
  const { apiVersion, protocol, targetPrefix, xmlNamespace, endpointPrefix } = model.metadata;
  return { apiVersion, protocol, targetPrefix, xmlNamespace, endpointPrefix, operations, shapes: sorted(shapes) };
}

function sorted(object) {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** One line for each operation and shape: a change of the model then shows as the lines that changed. */
function print({ operations, shapes, ...metadata }) {
  const lines = (object) =>
    Object.entries(object)
      .map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`)
      .join(",\n");
  const head = Object.entries(metadata)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},\n`)
    .join("");
  return `{\n${head}  "operations": {\n${lines(operations)}\n  },\n  "shapes": {\n${lines(shapes)}\n  }\n}\n`;
}

const [source, target, ...wanted] = process.argv.slice(2);
if (source === undefined || target === undefined) {
  process.stderr.write("usage: node mock/aws/model/generate.mjs <service-2.json> <model.json> [operation ...]\n");
  process.exit(2);
}
writeFileSync(target, print(trim(JSON.parse(readFileSync(source, "utf8")), wanted)));
