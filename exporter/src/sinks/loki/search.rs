//! The search for an entry that was refused together with others.

use crate::delivery::Entry;

/// Positions among which there is one that was refused; those before it are thought to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    from: usize,
    to: usize,
}

impl Search {
    /// The same search among entries that are read again.
    pub(super) fn resumed(Kept { first, last }: Kept, entries: &[Entry]) -> Option<Search> {
        let from = entries.partition_point(|entry| entry.seq < first);
        let to = entries.partition_point(|entry| entry.seq <= last);
        (from < to).then_some(Search { from, to })
    }

    /// What of it can be resumed.
    pub(super) fn kept(self, entries: &[Entry]) -> Option<Kept> {
        let (first, last) = (entries.get(self.from)?, entries.get(self.to.checked_sub(1)?)?);
        Some(Kept { first: first.seq, last: last.seq })
    }

    /// After what lies between `from` and `to` was refused as a whole. `named` is counted from `from`.
    pub(super) fn within(from: usize, to: usize, named: Option<usize>) -> Search {
        match named {
            Some(index) => Search { from: from + index, to: (from + index + 1).min(to) },
            None => Search { from, to },
        }
    }

    /// Where the next request from `taken` on ends: before the one that was named, then that one alone; else half.
    pub(super) fn end(self, taken: usize) -> usize {
        if taken < self.from { self.from } else { taken + (self.to.saturating_sub(taken) / 2).max(1) }
    }

    /// What is left of it, once all before `taken` is stored.
    pub(super) fn after(self, taken: usize) -> Option<Search> {
        (taken < self.to).then_some(self)
    }
}

/// A search by the numbers of its first and its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    first: i64,
    last: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The requests, and what was found.
    fn run(
        count: usize,
        bad: &[usize],
        named: impl Fn(usize, usize) -> Option<usize>,
    ) -> (Vec<(usize, usize)>, Option<usize>) {
        let (mut taken, mut search, mut requests) = (0, None, Vec::new());
        while taken < count {
            let end = search.map_or(count, |search: Search| search.end(taken));
            requests.push((taken, end));
            if !bad.iter().any(|bad| (taken..end).contains(bad)) {
                taken = end;
                search = search.and_then(|search| search.after(taken));
            } else if end - taken == 1 {
                return (requests, Some(taken));
            } else {
                search = Some(Search::within(taken, end, named(taken, end)));
            }
        }
        (requests, None)
    }

    #[test]
    fn finds_the_first_that_is_refused_and_repeats_no_request() {
        for count in [1, 2, 3, 7, 100] {
            for bad in 0..count {
                for more in [bad, count - 1] {
                    let hints: [&dyn Fn(usize, usize) -> Option<usize>; 4] = [
                        &|_, _| None,
                        &|from, to| (from..to).contains(&bad).then(|| bad - from),
                        &|_, _| Some(0),
                        &|from, to| Some(to - from - 1),
                    ];
                    for (which, hint) in hints.into_iter().enumerate() {
                        let (requests, found) = run(count, &[bad, more], hint);
                        assert_eq!(found, Some(bad), "{count} {bad} {more} {which}");
                        let mut once = requests.clone();
                        once.sort_unstable();
                        once.dedup();
                        assert_eq!(once.len(), requests.len(), "{requests:?}");
                    }
                }
            }
        }
        let (requests, _) = run(100, &[70], |from, to| (from..to).contains(&70).then(|| 70 - from));
        assert_eq!(requests, [(0, 100), (0, 70), (70, 71)]);
        let (requests, _) = run(100, &[70], |_, _| None);
        assert_eq!(requests.len(), 9, "{requests:?}");
    }
}
