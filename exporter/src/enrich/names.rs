//! Names of addresses that the host itself vouches for: those that it resolved because rules mention them, and those
//! of its `/etc/hosts`. They hold on the whole node; what workloads were told is in [`super::dns`].

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

/// Names kept of one address.
const MAX_NAMES: usize = 64;
/// Entries of a hosts file.
const MAX_ENTRIES: usize = 65_536;

/// Names by address.
#[derive(Clone, Debug, Default)]
pub struct HostNames {
    by_address: HashMap<IpAddr, Vec<Box<str>>>,
    /// Every name, in lower case.
    known: HashSet<Box<str>>,
}

impl HostNames {
    /// From the text of a hosts file. Lines that are no entries are skipped.
    pub fn parse(hosts: &[u8]) -> HostNames {
        let mut names = HostNames::default();
        let mut entries = 0;
        for line in hosts.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let mut words = str::from_utf8(line).unwrap_or_default().split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else { continue };
            for name in words.take(MAX_ENTRIES - entries) {
                names.add(address, name);
                entries += 1;
            }
        }
        names
    }

    pub fn add(&mut self, address: IpAddr, name: &str) {
        self.known.insert(name.to_ascii_lowercase().into());
        let names = self.by_address.entry(address).or_default();
        if names.len() < MAX_NAMES && !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }

    /// Adds what another has.
    pub fn extend(&mut self, other: &HostNames) {
        for (address, names) in &other.by_address {
            names.iter().for_each(|name| self.add(*address, name));
        }
    }

    pub fn of(&self, address: IpAddr) -> &[Box<str>] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Whether the host has an address for this name, given in lower case.
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read() {
        let text =
            b"127.0.0.1\tlocalhost  loop # here\n# 10.0.0.1 no\n::1 localhost\n10.0.0.2\nx y\n\xff z\n\
            10.0.0.3 DB.example db\r\n10.0.0.3 db";
        let names = HostNames::parse(text);
        let of = |address: &str| names.of(address.parse().unwrap()).join(" ");
        for (address, expected) in [
            ("127.0.0.1", "localhost loop"),
            ("::1", "localhost"),
            ("10.0.0.1", ""),
            ("10.0.0.2", ""),
            ("10.0.0.3", "DB.example db"),
        ] {
            assert_eq!(of(address), expected, "{address}");
        }
        assert!(names.knows("db.example") && !names.knows("no"));
    }
}
