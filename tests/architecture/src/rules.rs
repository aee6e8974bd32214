//! Rules for the modules of a service, each with its reason.

use crate::{
    package::{BareCall, Package, Reference, Target},
    violation::Violation,
};

/// Things that a rule forbids.
enum Forbidden {
    /// Paths into these crates.
    Crates(&'static [&'static str]),
    /// Paths into any crate but these.
    OtherCrates(&'static [&'static str]),
    /// Paths into these modules of the package.
    Modules(&'static [&'static str]),
    /// Paths into any other module of the package.
    OtherModules,
    /// Paths to functions whose result depends on the time, on chance or on the process.
    Effects,
    /// Statements.
    Sql,
    /// Begin and end of transactions.
    Transactions,
}

/// Modules that a rule binds.
enum Bound {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Rule for the modules of a service.
struct Rule {
    name: &'static str,
    binds: Bound,
    forbids: Forbidden,
    reason: &'static str,
    instead: &'static str,
}

/// Crates that the domain may import: the standard library, our values, and libraries of values.
const VALUES: [&str; 16] = [
    "alloc",
    "base64",
    "chrono",
    "contract",
    "core",
    "icalendar",
    "idna",
    "recurrence",
    "serde",
    "serde_json",
    "sha2",
    "std",
    "thiserror",
    "time_zone",
    "url",
    "uuid",
];

const RULES: [Rule; 9] = [
    Rule {
        name: "domain-imports-values-only",
        binds: Bound::Only(&["domain"]),
        forbids: Forbidden::OtherCrates(&VALUES),
        reason: "the domain is pure: its rules are tested without a database, a network or a clock",
        instead: "pass the value as a parameter, or move the code to a use case",
    },
    Rule {
        name: "domain-is-closed",
        binds: Bound::Only(&["domain"]),
        forbids: Forbidden::OtherModules,
        reason: "all modules depend on the domain; an arrow back makes a cycle",
        instead: "move the type into `domain`, or pass what is needed as a parameter",
    },
    Rule {
        name: "domain-is-deterministic",
        binds: Bound::Only(&["domain"]),
        forbids: Forbidden::Effects,
        reason: "a rule of the domain gives the same result for the same values",
        instead: "pass the time, the id or the setting as a parameter",
    },
    Rule {
        name: "store-below-use-cases",
        binds: Bound::Only(&["store"]),
        forbids: Forbidden::Modules(&["usecases"]),
        reason: "the store executes statements and decides nothing",
        instead: "move the type into `domain` or `store`, or the decision into the use case",
    },
    Rule {
        name: "store-without-http",
        binds: Bound::Only(&["store"]),
        forbids: Forbidden::Crates(&["axum", "rest", "utoipa"]),
        reason: "the store returns domain types, which `routes` turn into answers",
        instead: "return a domain type, and convert it in `routes`",
    },
    Rule {
        name: "use-cases-without-http",
        binds: Bound::Only(&["usecases"]),
        forbids: Forbidden::Crates(&["axum", "rest", "utoipa"]),
        reason: "a use case has the same effect, whether a request or a message causes it",
        instead: "return a domain type or `usecases::Error`, and convert it in `routes`",
    },
    Rule {
        name: "callers-on-top",
        binds: Bound::AllBut(&["app", "lib", "main"]),
        forbids: Forbidden::Modules(&["app", "consumer", "routes", "tasks"]),
        reason: "only `app` and the root of the crate know who calls the use cases",
        instead: "move what is shared into `usecases`, `domain` or `config`",
    },
    Rule {
        name: "sql-in-store-only",
        binds: Bound::AllBut(&["store"]),
        forbids: Forbidden::Sql,
        reason: "whoever changes a table finds all its statements in `store`",
        instead: "move the statement into a function of `store`, and call it",
    },
    Rule {
        name: "callers-begin-no-transaction",
        binds: Bound::Only(&["app", "consumer", "domain", "routes", "tasks"]),
        forbids: Forbidden::Transactions,
        reason: "the use case decides what is committed together",
        instead: "move the transaction into a use case",
    },
];

/// Checks the directions between the modules of a service.
#[must_use]
pub fn check_directions(package: &Package) -> Vec<Violation> {
    let references = package.references();
    let calls = package.bare_calls();
    let mut found = Vec::new();
    for rule in &RULES {
        let broken: Vec<&Reference> =
            references.iter().filter(|reference| rule.is_broken_by(reference)).collect();
        let named = broken.iter().filter(|reference| !is_implied(reference, &broken));
        found.extend(named.map(|reference| {
            let Reference { file, line, from, path, .. } = reference;
            rule.violation(package, file, *line, &format!("`{from}` imports `{path}`"))
        }));
        let called = calls.iter().filter(|call| rule.is_broken_by_call(call));
        found.extend(called.map(|call| {
            let BareCall { file, line, from, method } = call;
            rule.violation(package, file, *line, &format!("`{from}` calls `.{method}()`"))
        }));
    }
    found.sort();
    found
}

impl Rule {
    fn binds(&self, module: &str) -> bool {
        match self.binds {
            Bound::Only(modules) => modules.contains(&module),
            Bound::AllBut(modules) => !modules.contains(&module),
        }
    }

    fn is_broken_by(&self, reference: &Reference) -> bool {
        self.binds(&reference.from)
            && match (&self.forbids, &reference.target) {
                (Forbidden::Crates(names), Target::Crate(name)) => names.contains(&name.as_str()),
                (Forbidden::OtherCrates(names), Target::Crate(name)) => {
                    !names.contains(&name.as_str())
                }
                (Forbidden::Modules(names), Target::Module(name)) => names.contains(&name.as_str()),
                (Forbidden::OtherModules, Target::Module(_)) => true,
                (Forbidden::Effects, Target::Crate(_)) => has_effect(&reference.path),
                (Forbidden::Sql, Target::Crate(_)) => is_statement(&reference.path),
                (Forbidden::Transactions, Target::Crate(_)) => begins(&reference.path),
                _ => false,
            }
    }

    fn is_broken_by_call(&self, call: &BareCall) -> bool {
        matches!(self.forbids, Forbidden::Transactions)
            && self.binds(&call.from)
            && ["begin", "commit"].contains(&call.method.as_str())
    }

    fn violation(&self, package: &Package, file: &str, line: usize, deed: &str) -> Violation {
        let Self { name, reason, instead, .. } = self;
        Violation {
            file: format!("{}/{file}", package.name),
            line,
            rule: name,
            message: format!("{deed}, but {reason}: {instead}"),
        }
    }
}

/// Returns whether a file names a path only below another one that it names, such as a variant of
/// an imported type.
fn is_implied(reference: &Reference, others: &[&Reference]) -> bool {
    others.iter().any(|other| {
        let rest = reference.path.strip_prefix(other.path.as_str());
        other.file == reference.file && rest.is_some_and(|rest| rest.starts_with("::"))
    })
}

/// Returns whether the result of a path depends on the time, on chance or on the process.
fn has_effect(path: &str) -> bool {
    ["std::env", "std::fs", "std::net", "std::process", "std::thread"]
        .iter()
        .any(|module| path == *module || path.starts_with(&format!("{module}::")))
        || ["::now", "::new_v4", "::now_v7"].iter().any(|end| path.ends_with(end))
}

/// Returns whether a path leads to a statement of sqlx: `query`, `query_as`, `QueryBuilder` and
/// their like.
fn is_statement(path: &str) -> bool {
    path.strip_prefix("sqlx::").is_some_and(|rest| {
        rest.split("::").any(|segment| {
            segment.starts_with("query") || ["QueryBuilder", "raw_sql"].contains(&segment)
        })
    })
}

/// Returns whether a path leads to a function of sqlx that begins a transaction.
fn begins(path: &str) -> bool {
    path.starts_with("sqlx::") && ["::begin", "::begin_with"].iter().any(|end| path.ends_with(end))
}
