//! Pure: the order of a graph, or the cycle that forbids one, as a user reads it.

use petgraph::graph::{DiGraph, NodeIndex};

use super::Edge;
use crate::diag::{Diagnostic, Severity};
use crate::model::Project;

/// Dependencies first, else in the order of the nodes; or the names along a cycle, the first
/// one again at the end.
pub(super) fn order_or_cycle(graph: &DiGraph<String, Edge>) -> Result<Vec<String>, Vec<String>> {
    let mut search = Search {
        graph,
        marks: vec![Mark::New; graph.node_count()],
        path: Vec::new(),
        order: Vec::new(),
    };
    for node in graph.node_indices() {
        search.visit(node)?;
    }
    let names = search.order.iter().map(|node| graph[*node].clone());
    Ok(names.collect())
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    OnPath,
    Done,
}

struct Search<'a> {
    graph: &'a DiGraph<String, Edge>,
    marks: Vec<Mark>,
    path: Vec<NodeIndex>,
    order: Vec<NodeIndex>,
}

impl Search<'_> {
    fn visit(&mut self, node: NodeIndex) -> Result<(), Vec<String>> {
        match self.marks[node.index()] {
            Mark::Done => return Ok(()),
            Mark::OnPath => return Err(self.cycle_at(node)),
            Mark::New => {}
        }
        self.marks[node.index()] = Mark::OnPath;
        self.path.push(node);
        let mut needed: Vec<NodeIndex> = self.graph.neighbors(node).collect();
        needed.sort_unstable();
        for dependency in needed {
            self.visit(dependency)?;
        }
        self.path.pop();
        self.marks[node.index()] = Mark::Done;
        self.order.push(node);
        Ok(())
    }

    fn cycle_at(&self, node: NodeIndex) -> Vec<String> {
        let start = self.path.iter().position(|earlier| *earlier == node);
        let cycle = self.path[start.unwrap_or(0)..].iter().chain([&node]);
        cycle.map(|node| self.graph[*node].clone()).collect()
    }
}

/// `dependency cycle detected: a -> b -> a`, with a label at each place that is part of it.
pub(super) fn diagnostic(project: &Project, cycle: &[String]) -> Diagnostic {
    let message = format!("dependency cycle detected: {}", cycle.join(" -> "));
    let mut diagnostic = Diagnostic::new(Severity::Error, message);
    for pair in cycle.windows(2) {
        let [from, to] = pair else { continue };
        let service = project.services.get(from);
        if let Some(dependency) = service.and_then(|service| service.depends_on.get(to)) {
            diagnostic = diagnostic.label(dependency.span, format!("{from} needs {to}"));
        }
    }
    diagnostic.hint("take one of these dependencies away")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Condition;

    fn graph(edges: &[(u32, u32)]) -> DiGraph<String, Edge> {
        let mut graph = DiGraph::new();
        for name in ["a", "b", "c"] {
            graph.add_node(name.to_owned());
        }
        for (from, to) in edges {
            let edge = Edge {
                condition: Condition::Started,
                restart: false,
                required: true,
            };
            graph.add_edge(NodeIndex::from(*from), NodeIndex::from(*to), edge);
        }
        graph
    }

    #[test]
    fn a_cycle_is_told_from_where_it_begins() {
        let cycle = order_or_cycle(&graph(&[(0, 1), (1, 2), (2, 1)]));
        assert_eq!(cycle, Err(vec!["b".into(), "c".into(), "b".into()]));
        let itself = order_or_cycle(&graph(&[(0, 0)]));
        assert_eq!(itself, Err(vec!["a".into(), "a".into()]));
    }

    #[test]
    fn a_diamond_is_no_cycle() {
        let order = order_or_cycle(&graph(&[(0, 1), (0, 2), (1, 2)]));
        assert_eq!(order, Ok(vec!["c".into(), "b".into(), "a".into()]));
    }
}
