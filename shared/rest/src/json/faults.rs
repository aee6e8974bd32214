//! Texts of the faults of a body or a query: the field, the rule, and the kind of value that was
//! given. They contain no type names of the implementation, no positions and no values.

use serde_path_to_error::{Error, Segment};

use contract::{
    json_problem::{self, Kind, named, plain, without_position},
    text::start,
};
use service::http::{ApiError, FieldFault, Reason};

/// Largest number of characters of a client's field name in an answer.
pub(super) const MAX_NAME: usize = 64;

/// Refusal of a body as a whole.
pub(crate) fn body_fault(problem: &str) -> ApiError {
    ApiError::field(Reason::InvalidRequest, "body", problem)
}

/// Refusal of a text that is not JSON.
pub(super) fn syntax(error: &serde_json::Error) -> ApiError {
    body_fault(json_problem::syntax(error))
}

/// One step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A field of an object.
    Key(String),
    /// An entry of a list.
    Index(usize),
}

/// The fault of a field that could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Path of the field.
    pub(super) path: Vec<Step>,
    /// The kind of fault.
    pub(super) kind: Kind,
}

impl Fault {
    /// Reads the fault from an error of serde.
    pub(super) fn of(error: &Error<serde_json::Error>) -> Self {
        let steps = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let mut path: Vec<Step> = steps.collect();
        let message = without_position(&error.inner().to_string());
        let kind = match named(&message) {
            Some((kind, name)) => {
                path.push(Step::Key(name.to_owned()));
                kind
            }
            None => Kind::Value(plain(&message)),
        };
        Self { path, kind }
    }
}

/// A name of a client in the form in which an answer repeats it.
pub(crate) fn shown(name: &str) -> String {
    start(name, MAX_NAME).to_owned()
}

/// The fault of a query string.
pub(crate) fn of_query(problem: &str) -> FieldFault {
    // A problem with a name may repeat it in front: `limit: duplicate field `limit``.
    let starts = [": unknown field `", ": missing field `", ": duplicate field `"];
    let start = starts.iter().filter_map(|start| problem.find(start)).min().map(|at| at + 2);
    let about_name = start.and_then(|at| problem.get(at..)).unwrap_or(problem);
    if let Some((kind, name)) = named(about_name) {
        return FieldFault::new(shown(name), kind.text());
    }
    match problem.split_once(": ") {
        Some((field, problem)) => FieldFault::new(shown(field), plain(problem)),
        None => FieldFault::new("query", "is malformed"),
    }
}
