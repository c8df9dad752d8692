/**
 * Leaves texts with a blank in them unmutated: they are for a reader (messages, names of rules). Tests match on codes and
 * facts, never on such a text, so each would survive by design and hide those that should not.
 */
import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";

const isProse = (node) =>
  (node.type === "StringLiteral" && node.value.includes(" ")) ||
  (node.type === "TemplateLiteral" && node.quasis.some(({ value }) => value.raw.includes(" ")));

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, "prose", {
    shouldIgnore: ({ node }) => (isProse(node) ? "a text for a reader" : undefined),
  }),
];
