// A query in LogQL: its grammar, its labels, and which of the lines that Yagura pushed it finds.

import { parser } from "@grafana/lezer-logql";

import { at, ofLabel, ofLine, type Pushed, regex, type Stage, unquoted } from "./line";
import { all, mistake, type SyntaxNode } from "./tree";

/** The labels of a stream, and no others: see docs/delivery.md. */
const STREAM = ["job", "cluster", "node", "tenant", "namespace", "rule", "priority", "source"];

export interface Verdict {
  wrong: string[];
  /** Labels that its result can have. */
  labels: Set<string>;
  /** What it asks of streams' labels. */
  asked: { name: string; value: string }[];
  /** The lines that it finds, with the labels that it gives them. */
  found: Pushed[];
  /** What it groups them by. */
  by: string[];
}

export function logql(text: string, pushed: Pushed[] | undefined): Verdict {
  const tree = parser.parse(text);
  const error = mistake(tree, text);
  if (error !== undefined) {
    return { wrong: [error], labels: new Set(), asked: [], found: [], by: [] };
  }
  const reader = new Reader(text, pushed);
  const stages = [
    ...all(tree.topNode, "Selector").flatMap((node) => all(node, "Matcher")).map((node) => reader.matcher(node)),
    ...all(tree.topNode, "PipelineStage").flatMap((node) => reader.stages(node)),
  ];
  const grouping = all(tree.topNode, "Grouping").flatMap((grouping) => all(grouping, "Identifier"));
  const by = grouping.map((node) => reader.slice(node));
  for (const label of by) {
    reader.known(label, " to group by");
  }
  const states = (pushed ?? []).map((line) => ({ ...line, labels: { ...line.labels } }));
  const found = states.filter((state) => stages.every((stage) => stage(state)));
  return { wrong: reader.wrong, labels: reader.labels, asked: reader.asked, found, by };
}

/** Reads a query's stages in their order. */
class Reader {
  readonly labels = new Set(STREAM);
  readonly wrong: string[] = [];
  readonly asked: { name: string; value: string }[] = [];

  constructor(
    private readonly text: string,
    private readonly pushed: Pushed[] | undefined,
  ) {}

  slice(node: SyntaxNode): string {
    return this.text.slice(node.from, node.to);
  }

  /** A label that is used must be one of the stream's, or come from an earlier stage. */
  known(label: string, why = ""): void {
    if (!this.labels.has(label)) {
      this.wrong.push(`there is no label ${label}${why}`);
    }
  }

  matcher(node: SyntaxNode): Stage {
    const name = this.child(node, "Identifier");
    this.known(name);
    const value = this.child(node, "String");
    const operator = this.slice(node).slice(name.length, -value.length).trim();
    const holds = ofLabel(operator, unquoted(value));
    if (STREAM.includes(name)) {
      this.asked.push({ name, value: unquoted(value) });
    }
    return (state) => holds(state.labels[name] ?? "");
  }

  stages(stage: SyntaxNode): Stage[] {
    const kind = stage.lastChild;
    switch (kind?.name) {
      case "LineFilters":
        return all(kind, "LineFilter").map((node) => {
          const holds = ofLine(this.child(node, "Filter"), unquoted(this.child(node, "String")));
          return (state) => holds(state.line);
        });
      case "JsonExpressionParser":
        return all(kind, "LabelExtractionExpression").map((node) => this.extraction(node));
      case "LineFormatExpr":
        return [this.format(unquoted(this.child(kind, "String")))];
      case "LabelParser":
        this.child(kind, "Regexp");
        return [this.pattern(unquoted(this.child(kind, "String")))];
      case "LabelFilter":
        return [this.filter(kind)];
      default:
        throw new Error(`the stage ${this.slice(stage)} is not known here`);
    }
  }

  private child(node: SyntaxNode, name: string): string {
    const found = node.getChild(name);
    if (found === null) {
      throw new Error(`no ${name} in ${this.slice(node)}`);
    }
    return this.slice(found);
  }

  private extraction(node: SyntaxNode): Stage {
    const [name, path] = [this.child(node, "Identifier"), unquoted(this.child(node, "String"))];
    if (this.labels.has(name)) {
      this.wrong.push(`${name} is a label already`);
    }
    this.labels.add(name);
    // How long a list is, is chance.
    const first = path.replace(/\[\d+\]/g, "[0]");
    if (this.pushed !== undefined && !this.pushed.some(({ line }) => at(line, first) !== undefined)) {
      this.wrong.push(`no line has ${first}`);
    }
    return (state) => {
      state.labels[name] = at(state.line, path) ?? "";
      return true;
    };
  }

  private format(format: string): Stage {
    for (const [, name = ""] of format.matchAll(/\{\{\.([a-z_]+)\}\}/g)) {
      this.known(name);
    }
    return (state) => {
      state.line = format.replace(/\{\{\.([a-z_]+)\}\}/g, (_, name: string) => state.labels[name] ?? "");
      return true;
    };
  }

  private pattern(text: string): Stage {
    const pattern = regex(text);
    for (const [, name = ""] of pattern.source.matchAll(/\(\?<([a-z_]+)>/g)) {
      this.labels.add(name);
    }
    return (state) => {
      Object.assign(state.labels, pattern.exec(state.line)?.groups);
      return true;
    };
  }

  private filter(node: SyntaxNode): Stage {
    const [left, right] = node.getChildren("LabelFilter").map((part) => this.filter(part));
    if (left !== undefined && right !== undefined) {
      return node.getChild("Or") ? (state) => left(state) || right(state) : (state) => left(state) && right(state);
    }
    const matcher = node.getChild("Matcher");
    if (matcher === null) {
      throw new Error(`the filter ${this.slice(node)} is not known here`);
    }
    return this.matcher(matcher);
  }
}
