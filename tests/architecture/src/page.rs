//! Page of the dependency graph: `docs/architecture-graph.md`.

use std::{collections::BTreeSet, fmt::Write};

use crate::{
    graph::{Graph, reduced},
    package::{Package, Target},
    workspace::Member,
};

/// Crates that are not ours and whose users are worth seeing.
const NOTABLE: [&str; 2] = ["axum", "sqlx"];

/// Modules that the pictures leave out: they assemble a service, or everything reads them.
const UNDRAWN: [&str; 6] = ["app", "clock", "config", "lib", "main", "telemetry"];

const INTRODUCTION: &str = "\
# Dependency graph

`make graph` writes this page from the manifests and sources; a test fails while it is out of date.
An arrow points from the one who depends to the one it depends on. Code of tests is left out.
[ARCHITECTURE.md](ARCHITECTURE.md) describes the parts, and `tests/architecture` has the rules for
the arrows, each with its reason.

## Crates

The picture leaves out each arrow for which there is a longer way; the list has them all.

";

const MODULES: &str = "
## Modules of the services

The pictures leave out `main`, `lib` and `app`, which assemble the service, `config`, `telemetry`
and `clock`, which many modules read, and each arrow to `domain` for which there is a longer way.
The lists have all arrows between top-level modules, and those to our crates, `axum` and `sqlx`,
which stand in parentheses.
";

const SHARED: &str = "
## Modules of the shared crates

Crates with a single module are left out.
";

/// Renders the page.
#[must_use]
pub fn render(members: &[Member], packages: &[Package]) -> String {
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut page = INTRODUCTION.to_owned();
    let crates: Graph = members
        .iter()
        .filter(|member| !member.folder.starts_with("tests/"))
        .map(|member| {
            let known = member.dependencies.iter().filter(|name| ours.contains(name.as_str()));
            (member.name.clone(), known.cloned().collect())
        })
        .collect();
    draw(&mut page, &reduced(&crates, |_| true));
    list(&mut page, &crates);
    let folder_of = |package: &Package| {
        members.iter().find(|member| member.name == package.name).map(|member| &*member.folder)
    };
    page.push_str(MODULES);
    for package in packages {
        let is_service = |folder: &str| !folder.contains('/') && folder != "suite";
        if folder_of(package).is_some_and(is_service) {
            let modules = modules(package, &ours);
            heading(&mut page, package);
            draw(&mut page, &reduced(&drawn(package, &modules), |target| target == "domain"));
            list(&mut page, &modules);
        }
    }
    page.push_str(SHARED);
    for package in packages {
        let is_shared = folder_of(package).is_some_and(|folder| folder.starts_with("shared/"));
        if is_shared && package.top_level().nth(1).is_some() {
            heading(&mut page, package);
            list(&mut page, &modules(package, &ours));
        }
    }
    page
}

fn heading(page: &mut String, package: &Package) {
    let _ = writeln!(page, "\n### {}\n", package.name);
}

/// Arrows between the top-level modules of a package, and from them to notable crates.
fn modules(package: &Package, ours: &BTreeSet<&str>) -> Graph {
    let own = package.top_level().chain(["lib"]).map(|name| (name.to_owned(), BTreeSet::new()));
    let mut graph: Graph = own.collect();
    for reference in package.references() {
        let target = match reference.target {
            Target::Module(name) => name,
            Target::Crate(name) => {
                let name = name.replace('_', "-");
                let known = ours.iter().find(|our| our.replace('_', "-") == name);
                match known.copied().or(NOTABLE.contains(&name.as_str()).then_some(&*name)) {
                    Some(name) => format!("({name})"),
                    None => continue,
                }
            }
        };
        graph.entry(reference.from).or_default().insert(target);
    }
    graph
}

/// Part of the graph of a package that is drawn.
fn drawn(package: &Package, modules: &Graph) -> Graph {
    let is_drawn =
        |name: &str| !UNDRAWN.contains(&name) && package.top_level().any(|module| module == name);
    let nodes = modules.iter().filter(|(name, _)| is_drawn(name));
    nodes
        .map(|(name, targets)| {
            let kept = targets.iter().filter(|target| is_drawn(target));
            (name.clone(), kept.cloned().collect())
        })
        .collect()
}

/// Appends a picture of all arrows.
fn draw(page: &mut String, graph: &Graph) {
    page.push_str("```mermaid\nflowchart TD\n");
    for (name, targets) in graph {
        if targets.is_empty() && !graph.values().any(|others| others.contains(name)) {
            let _ = writeln!(page, "  {name}");
        }
        for target in targets {
            let _ = writeln!(page, "  {name} --> {target}");
        }
    }
    page.push_str("```\n\n");
}

/// Appends all arrows, one in a line.
fn list(page: &mut String, graph: &Graph) {
    page.push_str("```text\n");
    for (name, targets) in graph {
        for target in targets {
            let _ = writeln!(page, "{name} -> {target}");
        }
    }
    page.push_str("```\n");
}
