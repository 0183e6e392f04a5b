// A query in PromQL: its grammar, its metrics and its labels.

import { parser } from "@prometheus-io/lezer-promql";

import { unquoted } from "./line";
import type { Metrics } from "./metrics";
import { all, around, mistake, type SyntaxNode } from "./tree";

/** What is wrong with a query, and the labels that its result can have. */
export function promql(text: string, metrics: Metrics): { wrong: string[]; labels: Set<string> } {
  const tree = parser.parse(text);
  const wrong: string[] = [];
  const slice = (node: SyntaxNode) => text.slice(node.from, node.to);
  const found = mistake(tree, text);
  if (found !== undefined) {
    wrong.push(found);
  }
  /** Of all metrics below a node. */
  const labelsOf = (node: SyntaxNode) => {
    const labels = new Set<string>();
    for (const selector of all(node, "VectorSelector")) {
      const name = selector.getChild("Identifier");
      for (const label of (name && metrics.labels.get(slice(name))) ?? []) {
        labels.add(label);
      }
    }
    return labels;
  };
  for (const selector of all(tree.topNode, "VectorSelector")) {
    const identifier = selector.getChild("Identifier");
    const name = identifier === null ? "" : slice(identifier);
    const labels = metrics.labels.get(name);
    if (labels === undefined) {
      wrong.push(`no metric is called ${name || slice(selector)}`);
      continue;
    }
    for (const label of all(selector, "LabelName").map(slice)) {
      if (!labels.includes(label)) {
        wrong.push(`${name} has no label ${label}`);
      }
    }
    for (const matcher of all(selector, "UnquotedLabelMatcher")) {
      const [label, value] = [matcher.getChild("LabelName"), matcher.getChild("StringLiteral")];
      if (label !== null && value !== null) {
        wrong.push(...metrics.strange(slice(label), unquoted(slice(value))));
      }
    }
  }
  for (const grouping of all(tree.topNode, "GroupingLabels")) {
    const scope = grouping.parent?.name === "AggregateModifier" ? "AggregateExpr" : "BinaryExpr";
    const known = labelsOf(around(grouping, scope) ?? tree.topNode);
    const labels = all(grouping, "LabelName").map(slice);
    for (const label of labels) {
      if (!known.has(label)) {
        wrong.push(`nothing has the label ${label} in ${slice(grouping)}`);
      }
    }
    if (labels.includes("instance") && !labels.includes("cluster")) {
      wrong.push(`nodes of two clusters are one in ${slice(grouping)}`);
    }
  }
  return { wrong, labels: labelsOf(tree.topNode) };
}
