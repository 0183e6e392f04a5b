//! Many prefixes (or suffixes) of a string found in one walk along it.

/// A radix tree. Each key leads to the numbers that were added for it.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The first one is the root.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    label: Vec<u8>,
    hits: Vec<u32>,
    /// By the first byte of their labels.
    children: Vec<(u8, u32)>,
}

impl Default for Trie {
    fn default() -> Trie {
        Trie { nodes: vec![Node::default()] }
    }
}

impl Trie {
    pub fn is_empty(&self) -> bool {
        matches!(self.nodes.as_slice(), [root] if root.hits.is_empty())
    }

    pub fn insert(&mut self, key: &[u8], number: u32) {
        let mut at = 0;
        let mut rest = key;
        while let [first, ..] = rest {
            let child = self.child(at, *first);
            let Some(child) = child else {
                let leaf = self.nodes.len();
                self.nodes.push(Node { label: rest.to_vec(), ..Node::default() });
                self.nodes[at].children.push((*first, leaf as u32));
                at = leaf;
                break;
            };
            let label = &self.nodes[child].label;
            let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < label.len() {
                self.split(child, common);
            }
            at = child;
            rest = rest.get(common..).unwrap_or_default();
        }
        let hits = &mut self.nodes[at].hits;
        if !hits.contains(&number) {
            hits.push(number);
        }
    }

    /// Cuts a node's label in two: the node keeps the first part, a new child gets the rest.
    fn split(&mut self, at: usize, length: usize) {
        let tail = self.nodes.len();
        let node = &mut self.nodes[at];
        let label = node.label.split_off(length);
        let first = label.first().copied().unwrap_or_default();
        let moved = Node {
            label,
            hits: std::mem::take(&mut node.hits),
            children: std::mem::take(&mut node.children),
        };
        node.children.push((first, tail as u32));
        self.nodes.push(moved);
    }

    fn child(&self, at: usize, first: u8) -> Option<usize> {
        let children = &self.nodes.get(at)?.children;
        children.iter().find(|(byte, _)| *byte == first).map(|(_, child)| *child as usize)
    }

    /// Calls `found` with the length of each key that `text` begins with, and its numbers.
    pub fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, &[u32])) {
        let (mut at, mut length) = (0, 0);
        while let Some(node) = self.nodes.get(at) {
            if !node.hits.is_empty() {
                found(length, &node.hits);
            }
            let rest = text.get(length..).unwrap_or_default();
            let Some(child) = rest.first().and_then(|first| self.child(at, *first)) else { return };
            match self.nodes.get(child) {
                Some(next) if rest.starts_with(&next.label) => length += next.label.len(),
                _ => return,
            }
            at = child;
        }
    }

    /// The same from the end: keys were inserted reversed.
    pub fn suffixes(&self, text: &[u8], mut found: impl FnMut(&[u32])) {
        let (mut at, mut rest) = (0, text);
        while let Some(node) = self.nodes.get(at) {
            if !node.hits.is_empty() {
                found(&node.hits);
            }
            let Some(child) = rest.last().and_then(|last| self.child(at, *last)) else { return };
            let Some(label) = self.nodes.get(child).map(|next| &next.label) else { return };
            if rest.len() < label.len() || !rest.iter().rev().zip(label).all(|(a, b)| a == b) {
                return;
            }
            rest = rest.get(..rest.len() - label.len()).unwrap_or_default();
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_comparing_one_by_one_finds(
            keys in proptest::collection::vec("[ab]{0,5}", 0..12),
            text in "[abc]{0,8}",
        ) {
            let (mut forward, mut backward) = (Trie::default(), Trie::default());
            for (number, key) in keys.iter().enumerate() {
                forward.insert(key.as_bytes(), number as u32);
                let reversed: Vec<u8> = key.bytes().rev().collect();
                backward.insert(&reversed, number as u32);
            }
            let all = |holds: &dyn Fn(&str) -> bool| -> Vec<u32> {
                (0..).zip(&keys).filter(|(_, key)| holds(key)).map(|(number, _)| number).collect()
            };
            let mut found = Vec::new();
            forward.prefixes(text.as_bytes(), |length, hits| {
                found.extend_from_slice(hits);
                assert!(hits.iter().all(|hit| keys[*hit as usize].len() == length));
            });
            found.sort_unstable();
            prop_assert_eq!(found, all(&|key| text.starts_with(key)));
            let mut found = Vec::new();
            backward.suffixes(text.as_bytes(), |hits| found.extend_from_slice(hits));
            found.sort_unstable();
            prop_assert_eq!(found, all(&|key| text.ends_with(key)));
        }
    }
}
