//! Search for all faults of a body. The body is parsed repeatedly, each time without the fields
//! that were faulty before, a bounded number of times.

use std::collections::{BTreeSet, HashMap, HashSet};

use contract::{json_problem::Kind, text::start};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Error;
use service::http::{ApiError, FieldFault, Reason};

use super::{
    Lenient, MAX_FAULTS,
    faults::{Fault, MAX_NAME, Step, shown, syntax},
    parse, tree,
};
use crate::faults::contains;

/// Parses a body whose first error is known, without its faulty fields.
///
/// # Errors
/// `INVALID_REQUEST` if it cannot be parsed without them either.
pub(super) fn parse_without_faults<T: DeserializeOwned>(
    text: &[u8],
    first: &Error<serde_json::Error>,
) -> Result<Lenient<T>, ApiError> {
    let (body, duplicates) = tree::read(text).map_err(|error| syntax(&error))?;
    let mut repair = Repair { body, ..Repair::default() };
    // Only the text shows that a field is given twice. The paths are those before the repair.
    let duplicates: Vec<String> = duplicates.iter().map(|path| repair.field(path)).collect();
    let value = repair.parse();
    repair.report_duplicates(duplicates);
    if repair.faults.is_empty() {
        repair.report(&Fault::of(first));
    }
    let mut faults = repair.faults;
    faults.truncate(MAX_FAULTS);
    match value {
        Some(value) => Ok(Lenient { value, faults }),
        None => Err(ApiError::faults(Reason::InvalidRequest, faults)),
    }
}

/// A body from which faulty fields are removed.
#[derive(Debug, Default)]
struct Repair {
    body: Value,
    faults: Vec<FieldFault>,
    /// Fields that have a fault.
    reported: HashSet<String>,
    /// Missing fields that have a placeholder.
    placeholders: HashSet<String>,
    /// Entries that were removed from lists, by the path of the list.
    removed: HashMap<String, BTreeSet<usize>>,
}

impl Repair {
    /// Parses the body until it has no more faults; `None` if a fault cannot be removed.
    fn parse<T: DeserializeOwned>(&mut self) -> Option<T> {
        for _ in 0..MAX_FAULTS {
            let error = match parse(&self.body) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let fault = Fault::of(&error);
            self.report(&fault);
            self.repair(&fault)?;
        }
        None
    }

    /// Records a fault, unless its field has one.
    fn report(&mut self, fault: &Fault) {
        let field = self.field(&fault.path);
        if self.reported.insert(field.clone()) {
            self.faults.push(FieldFault::new(field, fault.kind.clone().text()));
        }
    }

    /// Records that fields are given twice, unless they or the fields that contain them have a
    /// fault.
    fn report_duplicates(&mut self, fields: Vec<String>) {
        for field in fields {
            if !self.reported.iter().any(|reported| contains(reported, &field)) {
                self.faults.push(FieldFault::new(&field, Kind::Duplicate.text()));
                self.reported.insert(field);
            }
        }
    }

    /// Changes the body so that the fault does not occur again; `None` if that is not possible.
    fn repair(&mut self, fault: &Fault) -> Option<()> {
        let field = self.field(&fault.path);
        let (last, parent) = fault.path.split_last()?;
        let is_repaired = match (&fault.kind, last) {
            (Kind::Missing, Step::Key(name)) => {
                self.placeholders.insert(field) && self.insert_placeholder(parent, name)
            }
            _ => !self.placeholders.contains(&field) && self.remove(&fault.path),
        };
        // An object whose field cannot be replaced is removed as a whole.
        (is_repaired || self.remove(parent)).then_some(())
    }

    fn insert_placeholder(&mut self, parent: &[Step], name: &str) -> bool {
        match value_at(&mut self.body, parent) {
            Some(Value::Object(fields)) => {
                fields.insert(name.to_owned(), Value::String(String::new()));
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, path: &[Step]) -> bool {
        let Some((last, parent)) = path.split_last() else { return false };
        let list = self.field(parent);
        match (value_at(&mut self.body, parent), last) {
            (Some(Value::Object(fields)), Step::Key(name)) => fields.remove(name).is_some(),
            (Some(Value::Array(entries)), Step::Index(index)) if *index < entries.len() => {
                entries.remove(*index);
                let original = self.original_index(&list, *index);
                self.removed.entry(list).or_default().insert(original);
                true
            }
            _ => false,
        }
    }

    /// Path of a field as text, with the indices of the original body.
    fn field(&self, path: &[Step]) -> String {
        let mut field = String::new();
        for step in path {
            field = match step {
                Step::Key(name) if field.is_empty() => shown(name),
                Step::Key(name) => format!("{field}.{}", shown(name)),
                Step::Index(index) => format!("{field}[{}]", self.original_index(&field, *index)),
            };
        }
        if field.is_empty() { "body".to_owned() } else { start(&field, 2 * MAX_NAME).to_owned() }
    }

    /// Index that an entry of a list had before others were removed.
    fn original_index(&self, list: &str, index: usize) -> usize {
        let removed = self.removed.get(list).into_iter().flatten();
        removed.fold(index, |index, removed| if *removed <= index { index + 1 } else { index })
    }
}

fn value_at<'a>(body: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(body, |value, step| match step {
        Step::Key(name) => value.get_mut(name),
        Step::Index(index) => value.get_mut(*index),
    })
}
