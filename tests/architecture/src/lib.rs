//! Check of the directions between the modules of a service and between the crates of the
//! workspace, and the page that shows them (`docs/architecture-graph.md`).
//!
//! The sources are read by tokens. Each `use` declaration and each path is resolved to a top-level
//! module of the same crate, or to another crate. Code that is compiled for tests only is exempt.

mod crates;
mod cycles;
mod graph;
mod package;
mod page;
mod rules;
mod shape;
mod syntax;
mod tokens;
mod use_tree;
mod violation;
mod workspace;

pub use crates::{check_crates, check_dependencies, check_tree, members_with_tree_rules};
pub use cycles::check_cycles;
pub use package::{BareCall, Package, Reference, Source, Target};
pub use page::render;
pub use rules::check_directions;
pub use shape::{check_file, check_shape};
pub use violation::{Violation, compare};
pub use workspace::{Member, dependency_tree, members, root, source, sources};
