//! Records of the fast provider, and their summary.

use std::collections::HashMap;

use bytes::{Buf, BufMut};

use crate::stats::Spread;

/// Size of a record on the wire, in bytes.
const SIZE: usize = 36;

/// A message that the provider accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// Number of the reminder.
    pub(crate) number: u32,
    /// Due time, in milliseconds since 1970.
    pub(crate) due_ms: u64,
    /// Time of arrival, in microseconds since 1970.
    pub(crate) arrived_us: u64,
    /// Collapse key; 0 if there was none.
    pub(crate) key: u128,
}

/// Encodes records.
pub(crate) fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len() * SIZE);
    for record in records {
        bytes.put_u32(record.number);
        bytes.put_u64(record.due_ms);
        bytes.put_u64(record.arrived_us);
        bytes.put_u128(record.key);
    }
    bytes
}

/// Decodes records.
pub(crate) fn decode(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::with_capacity(bytes.len() / SIZE);
    while bytes.remaining() >= SIZE {
        records.push(Record {
            number: bytes.get_u32(),
            due_ms: bytes.get_u64(),
            arrived_us: bytes.get_u64(),
            key: bytes.get_u128(),
        });
    }
    records
}

/// Summary of the arrivals.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrivals {
    /// Number of different reminders that arrived.
    pub(crate) distinct: usize,
    /// Number of repeated arrivals.
    pub(crate) duplicates: usize,
    /// Number of repeated arrivals whose collapse key differs from that of the first.
    pub(crate) unlike: usize,
    /// Time of the last arrival that was no repeat, in microseconds since 1970.
    pub(crate) last_us: u64,
    /// Milliseconds from the due time to the first arrival.
    pub(crate) lateness_ms: Option<Spread>,
}

impl Arrivals {
    /// Summarizes records that are in order of arrival.
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut first: HashMap<u32, u128> = HashMap::with_capacity(records.len());
        let (mut duplicates, mut unlike, mut last_us) = (0, 0, 0);
        let mut lateness = Vec::with_capacity(records.len());
        for record in records {
            match first.get(&record.number) {
                Some(key) => {
                    duplicates += 1;
                    unlike += usize::from(*key != record.key);
                }
                None => {
                    first.insert(record.number, record.key);
                    last_us = last_us.max(record.arrived_us);
                    lateness.push(record.arrived_us as f64 / 1e3 - record.due_ms as f64);
                }
            }
        }
        Self {
            distinct: first.len(),
            duplicates,
            unlike,
            last_us,
            lateness_ms: Spread::of(lateness),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32, arrived_us: u64, key: u128) -> Record {
        Record { number, due_ms: 1_000, arrived_us, key }
    }

    #[test]
    fn decodes_encoded_records() {
        let records = vec![record(1, 1_002_500, 7), record(2, 1_003_000, u128::MAX)];
        assert_eq!(decode(&encode(&records)), records);
    }

    #[test]
    fn compares_duplicates_with_first_arrival() {
        let records = [
            record(1, 1_001_000, 7),
            record(2, 1_002_000, 8),
            record(1, 1_009_000, 7),
            record(2, 1_010_000, 9),
        ];
        let arrivals = Arrivals::of(&records);
        assert_eq!((arrivals.distinct, arrivals.duplicates, arrivals.unlike), (2, 2, 1));
        assert_eq!(arrivals.last_us, 1_002_000);
    }

    #[test]
    fn measures_lateness_below_zero_when_early() {
        let arrivals = Arrivals::of(&[record(1, 999_500, 7), record(2, 1_002_500, 8)]);
        let spread = arrivals.lateness_ms.expect("two arrivals have a spread");
        assert_eq!((spread.min, spread.max), (-0.5, 2.5));
    }
}
