/**
 * Judges every row with one build of the verifier and prints what came out, as JSON; started by `nodes.mjs` in each runtime.
 */
import { readFileSync } from "node:fs";
import { argv, versions } from "node:process";
import { pathToFileURL } from "node:url";
import { judge } from "./judge.mjs";

const [verifier, rows] = argv.slice(2);
const module = await import(pathToFileURL(verifier));
const counts = { accepted: 0, refused: 0 };
const wrong = [];
for (const row of JSON.parse(readFileSync(rows, "utf8"))) {
  const verdict = await judge(module, row);
  counts[verdict === "accepted" ? "accepted" : "refused"]++;
  if (verdict !== row.expect) wrong.push(`${row.name}: ${verdict} instead of ${row.expect}`);
}
const runtime = versions.deno ? `deno ${versions.deno}` : `node ${versions.node}`;
console.log(JSON.stringify({ runtime, ...counts, wrong }));
