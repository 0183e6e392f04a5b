// What both grammars' trees need.

// The grammars are typed by the modules' form of the package.
import type { SyntaxNode, Tree } from "@lezer/common" with { "resolution-mode": "import" };

export type { SyntaxNode };

/** Where a query is no sentence of its grammar; undefined if it is one. */
export function mistake(tree: Tree, text: string): string | undefined {
  let at: string | undefined;
  tree.iterate({
    enter: (node) => {
      if (node.type.isError && at === undefined) {
        at = `a mistake at ${node.from}: ${text.slice(node.from, node.from + 30)}`;
      }
    },
  });
  return at;
}

/** All nodes of a kind below one, in order. */
export function all(node: SyntaxNode, name: string): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  node.cursor().iterate((below) => {
    if (below.name === name) {
      found.push(below.node);
    }
  });
  return found;
}

/** The nearest node of a kind around one. */
export function around(node: SyntaxNode, name: string): SyntaxNode | undefined {
  for (let up = node.parent; up !== null; up = up.parent) {
    if (up.name === name) {
      return up;
    }
  }
  return undefined;
}
