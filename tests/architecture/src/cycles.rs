//! Rule against cycles between the top-level modules of a service.

use crate::{
    graph::{Graph, shortest_cycle},
    package::{Package, Reference, Target},
    violation::Violation,
};

/// Finds cycles between the top-level modules of a service. Of those that share a module, only the
/// shortest is reported. The roots count for nothing: they re-export what they assemble.
#[must_use]
pub fn check_cycles(package: &Package) -> Vec<Violation> {
    let references = package.references();
    let mut graph = Graph::new();
    for Reference { from, target, .. } in &references {
        if let Target::Module(to) = target
            && ![from, to].iter().any(|module| ["lib", "main"].contains(&module.as_str()))
        {
            graph.entry(from.clone()).or_default().insert(to.clone());
        }
    }
    let mut found = Vec::new();
    while let Some(cycle) = shortest_cycle(&graph) {
        let next = cycle.iter().cycle().skip(1);
        let arrows = cycle.iter().zip(next).filter_map(|(from, to)| first(&references, from, to));
        let arrows: Vec<String> = arrows
            .map(|Reference { from, path, file, line, .. }| {
                format!("`{from}` imports `{path}` ({file}:{line})")
            })
            .collect();
        found.push(Violation {
            file: format!("{}/src/{}.rs", package.name, cycle[0]),
            line: 0,
            rule: "modules-without-cycle",
            message: format!(
                "is part of a cycle, so that none of its modules can be read without the others: \
                 {}: move what the lower ones need into the lowest",
                arrows.join(", ")
            ),
        });
        graph.retain(|module, _| !cycle.contains(module));
    }
    found
}

/// First reference from one module to another.
fn first<'a>(references: &'a [Reference], from: &str, to: &str) -> Option<&'a Reference> {
    references.iter().find(|reference| {
        reference.from == from
            && matches!(&reference.target, Target::Module(module) if module == to)
    })
}
