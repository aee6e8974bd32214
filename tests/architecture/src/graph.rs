//! Directed graph, and the ways in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Nodes, each with those that its arrows point to.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Removes the arrows for which there is a longer way, among those to the chosen nodes.
pub(crate) fn reduced(graph: &Graph, is_chosen: impl Fn(&str) -> bool) -> Graph {
    let mut kept = graph.clone();
    for (from, targets) in graph {
        for to in targets.iter().filter(|target| is_chosen(target)) {
            if let Some(targets) = kept.get_mut(from) {
                targets.remove(to);
            }
            if !leads_to(&kept, from, to) {
                kept.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    kept
}

/// Returns whether there is a way from one node to another.
fn leads_to(graph: &Graph, from: &str, to: &str) -> bool {
    shortest_way(graph, from, to).is_some()
}

/// Shortest cycle, from the first of its nodes to the last. An arrow back to its own node is none.
pub(crate) fn shortest_cycle(graph: &Graph) -> Option<Vec<String>> {
    let cycles = graph.iter().flat_map(|(node, targets)| {
        let others = targets.iter().filter(move |target| *target != node);
        others.filter_map(|target| {
            let way = shortest_way(graph, target, node)?;
            Some([std::slice::from_ref(node), &way[..way.len() - 1]].concat())
        })
    });
    cycles.min_by_key(Vec::len)
}

/// Nodes of the shortest way, both ends included.
fn shortest_way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = VecDeque::from([vec![from]]);
    while let Some(way) = ways.pop_front() {
        let end = *way.last()?;
        if end == to {
            return Some(way.into_iter().map(str::to_owned).collect());
        }
        for next in graph.get(end).into_iter().flatten() {
            if seen.insert(next) {
                ways.push_back([&way[..], &[next]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::new();
        for (from, to) in arrows {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn removes_arrow_if_longer_way_exists() {
        let all = graph(&[("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("c", "d")]);
        let longest = graph(&[("a", "b"), ("b", "c"), ("c", "d")]);
        assert_eq!(reduced(&all, |_| true), longest);
        let without_d = graph(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")]);
        assert_eq!(reduced(&all, |node| node == "d"), without_d);
    }

    #[test]
    fn finds_shortest_cycle() {
        let arrows = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "c"), ("d", "d")];
        assert_eq!(shortest_cycle(&graph(&arrows)).unwrap(), ["c", "d"]);
        assert_eq!(shortest_cycle(&graph(&arrows[..3])).unwrap(), ["a", "b", "c"]);
        assert_eq!(shortest_cycle(&graph(&arrows[..2])), None);
    }

    #[test]
    fn keeps_every_way_of_cycle() {
        let cycle = graph(&[("a", "b"), ("a", "c"), ("b", "c"), ("c", "b")]);
        let kept = reduced(&cycle, |_| true);
        for node in ["b", "c"] {
            assert!(leads_to(&kept, "a", node), "{kept:?}");
        }
    }
}
