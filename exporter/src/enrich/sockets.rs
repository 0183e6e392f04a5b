//! What a socket was last used for: only so that `fd.name_changed` and the role of an unconnected socket
//! can be told. Everything else about a socket comes with each event.

use super::lru::LruMap;
use crate::event::address::Tuple;

/// What an event finds out about its socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketUse {
    /// The ends of this use, or of the last one that had both.
    pub tuple: Option<Tuple>,
    /// The event changes the socket's name.
    pub changed: bool,
    /// The process received before it sent: it serves.
    pub received_first: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    tuple: Option<Tuple>,
    received_first: bool,
}

/// Sockets by inode number.
#[derive(Debug)]
pub struct Sockets {
    known: LruMap<u64, Known>,
}

impl Sockets {
    pub fn new(bound: usize) -> Sockets {
        Sockets { known: LruMap::new(bound) }
    }

    /// Remembers a use of a socket. `receives` tells whether this use takes data in.
    pub fn used(&mut self, ino: u64, tuple: Option<Tuple>, receives: bool) -> SocketUse {
        match self.known.get(ino) {
            Some(known) => {
                let changed = tuple.is_some() && known.tuple != tuple;
                known.tuple = tuple.or(known.tuple);
                SocketUse { tuple: known.tuple, changed, received_first: known.received_first }
            }
            None => {
                self.known.insert(ino, Known { tuple, received_first: receives });
                SocketUse { tuple, changed: tuple.is_some(), received_first: receives }
            }
        }
    }

    /// A new socket has this inode number: what was known of an earlier one is void.
    pub fn forget(&mut self, ino: u64) {
        self.known.remove(ino);
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn evicted(&self) -> u64 {
        self.known.evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_peer_changes_the_name() {
        let to =
            |port| Some(Tuple { local: ([0, 0, 0, 0].into(), 5000), remote: ([8, 8, 8, 8].into(), port) });
        let mut sockets = Sockets::new(10);
        for (tuple, receives, changed, known) in [
            (None, true, false, None),
            (to(53), false, true, to(53)),
            (to(53), true, false, to(53)),
            (None, true, false, to(53)),
            (to(54), false, true, to(54)),
        ] {
            let used = sockets.used(1, tuple, receives);
            assert_eq!((used.changed, used.tuple, used.received_first), (changed, known, true));
        }
        assert!(!sockets.used(2, to(53), false).received_first);
        sockets.forget(1);
        assert!(sockets.used(1, to(54), false).changed);
    }
}
