//! Times as text, in UTC: a detector's output is compared across nodes.

use jiff::{Timestamp, tz::TimeZone};

/// Nanoseconds since the epoch, by a `strftime` format.
fn format(ns: u64, format: &str) -> String {
    let Ok(time) = Timestamp::from_nanosecond(i128::from(ns)) else { return String::new() };
    time.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

/// `10:22:05.000000001`
pub fn time(ns: u64) -> String {
    format(ns, "%H:%M:%S%.9f")
}

/// `10:22:05`
pub fn time_s(ns: u64) -> String {
    format(ns, "%H:%M:%S")
}

/// `2026-11-23T10:22:05.000000001+0000`, as Falco writes it.
pub fn iso8601(ns: u64) -> String {
    format(ns, "%Y-%m-%dT%H:%M:%S%.9f%z")
}

/// `2026-11-23 10:22:05.000000001`
pub fn datetime(ns: u64) -> String {
    format(ns, "%Y-%m-%d %H:%M:%S%.9f")
}

/// `2026-11-23 10:22:05`
pub fn datetime_s(ns: u64) -> String {
    format(ns, "%Y-%m-%d %H:%M:%S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_falco_writes_them() {
        let ns = 1_795_429_325_000_000_001;
        assert_eq!(time(ns), "10:22:05.000000001");
        assert_eq!(time_s(ns), "10:22:05");
        assert_eq!(iso8601(ns), "2026-11-23T10:22:05.000000001+0000");
        assert_eq!(datetime(ns), "2026-11-23 10:22:05.000000001");
        assert_eq!(datetime_s(ns), "2026-11-23 10:22:05");
        assert_eq!(time(0), "00:00:00.000000000");
    }
}
