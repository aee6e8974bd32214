//! Help texts of metrics: what the source records is described, and nothing else.

use std::{collections::BTreeSet, fs, path::Path};

/// Macros that record a metric, and the names of its kinds.
const MACROS: [(&str, &str); 3] =
    [("counter", "Counter"), ("gauge", "Gauge"), ("histogram", "Histogram")];

/// Asserts that the metrics that a crate's source records are those that it describes, each with
/// its kind.
///
/// # Panics
///
/// If one is missing on either side, or the source cannot be read.
pub fn assert_described(
    source: &Path,
    described: impl IntoIterator<Item = (&'static str, String)>,
) {
    let mut recorded = BTreeSet::new();
    read(source, &mut recorded);
    let described: Vec<_> =
        described.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    let unique: BTreeSet<_> = described.iter().cloned().collect();
    assert_eq!(unique.len(), described.len(), "a metric is described twice");
    let undescribed: Vec<_> = recorded.difference(&unique).collect();
    let unrecorded: Vec<_> = unique.difference(&recorded).collect();
    assert!(undescribed.is_empty(), "recorded and not described: {undescribed:?}");
    assert!(unrecorded.is_empty(), "described and not recorded: {unrecorded:?}");
}

/// Adds the names and kinds of the metrics that the files of a folder record.
fn read(folder: &Path, metrics: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            read(&path, metrics);
            continue;
        }
        let text = fs::read_to_string(&path).expect("the source file can be read");
        // Tests of a module stand at its end.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (name, kind) in MACROS {
            for call in text.split(&format!("metrics::{name}!(")).skip(1) {
                let literal =
                    call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                let (metric, _) = literal
                    .unwrap_or_else(|| panic!("{}: a {name} has no literal name", path.display()));
                metrics.insert((metric.to_owned(), kind.to_owned()));
            }
        }
    }
}
