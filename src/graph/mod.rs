//! Pure: who needs whom: the order of services, forward and back.
//!
//! An edge goes from a service to one that it depends on. Made from a project, or from
//! the labels of its containers when there is no file.

mod cycle;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::diag::Diagnostic;
use crate::model::{Condition, Project};

/// Services and their dependencies; never with a cycle.
#[derive(Debug, Clone, Default)]
pub struct ServiceGraph {
    graph: DiGraph<String, Edge>,
    nodes: IndexMap<String, NodeIndex>,
    /// Dependencies first, else as in the file.
    order: Vec<String>,
}

/// What one service says about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub condition: Condition,
    pub restart: bool,
    pub required: bool,
}

impl ServiceGraph {
    /// The graph of the enabled services. What a dependency names must exist, or it is left out.
    ///
    /// # Errors
    /// The first cycle, told as a path with its places.
    pub fn new(project: &Project) -> Result<Self, Diagnostic> {
        let mut graph = Self::with_services(project.services.keys().cloned());
        for (name, service) in &project.services {
            for (dependency, how) in &service.depends_on {
                let edge = Edge {
                    condition: how.condition,
                    restart: how.restart,
                    required: how.required,
                };
                graph.connect(name, dependency, edge);
            }
        }
        match cycle::order_or_cycle(&graph.graph) {
            Ok(order) => graph.order = order,
            Err(path) => return Err(cycle::diagnostic(project, &path)),
        }
        Ok(graph)
    }

    /// The graph that containers remember: each service with its `com.docker.compose.depends_on`
    /// label, `db:service_healthy:false,…`. Cycles can't come from us and are cut.
    pub fn from_labels<'a>(services: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let services: IndexMap<&str, &str> = services.into_iter().collect();
        let mut graph = Self::with_services(services.keys().map(|name| (*name).to_owned()));
        for (name, label) in services {
            for part in label.split(',').filter(|part| !part.is_empty()) {
                let mut words = part.split(':');
                let dependency = words.next().unwrap_or_default();
                let edge = Edge {
                    condition: condition_of(words.next().unwrap_or_default()),
                    restart: words.next() == Some("true"),
                    required: true,
                };
                graph.connect(name, dependency, edge);
            }
        }
        match cycle::order_or_cycle(&graph.graph) {
            Ok(order) => graph.order = order,
            Err(_) => {
                graph.graph.clear_edges();
                graph.order = graph.nodes.keys().cloned().collect();
            }
        }
        graph
    }

    fn with_services(names: impl Iterator<Item = String>) -> Self {
        let mut graph = Self::default();
        for name in names {
            let node = graph.graph.add_node(name.clone());
            graph.nodes.insert(name, node);
        }
        graph
    }

    fn connect(&mut self, from: &str, to: &str, edge: Edge) {
        if let (Some(from), Some(to)) = (self.nodes.get(from), self.nodes.get(to)) {
            self.graph.update_edge(*from, *to, edge);
        }
    }

    /// Every service, dependencies first.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Every service, dependants first.
    pub fn reverse_order(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.order().rev()
    }

    /// Whether it knows the service.
    pub fn contains(&self, service: &str) -> bool {
        self.nodes.contains_key(service)
    }

    /// What `service` depends on itself, in the graph's order.
    pub fn dependencies(&self, service: &str) -> Vec<(&str, Edge)> {
        self.neighbours(service, Direction::Outgoing)
    }

    /// Who depends on `service` itself, in the graph's order.
    pub fn dependants(&self, service: &str) -> Vec<(&str, Edge)> {
        self.neighbours(service, Direction::Incoming)
    }

    fn neighbours(&self, service: &str, direction: Direction) -> Vec<(&str, Edge)> {
        let Some(node) = self.nodes.get(service) else {
            return Vec::new();
        };
        let mut found: Vec<(&str, Edge)> = self
            .graph
            .edges_directed(*node, direction)
            .map(|edge| {
                let other = match direction {
                    Direction::Outgoing => edge.target(),
                    Direction::Incoming => edge.source(),
                };
                (self.graph[other].as_str(), *edge.weight())
            })
            .collect();
        found.sort_by_key(|(name, _)| self.position(name));
        found
    }

    fn position(&self, service: &str) -> usize {
        let found = self.order.iter().position(|name| name == service);
        found.unwrap_or(usize::MAX)
    }

    /// The named services and all that they need, dependencies first.
    pub fn with_dependencies<'a>(&'a self, services: &[String]) -> Vec<&'a str> {
        self.closure(services, Direction::Outgoing)
    }

    /// The named services and all that need them, dependencies first.
    pub fn with_dependants<'a>(&'a self, services: &[String]) -> Vec<&'a str> {
        self.closure(services, Direction::Incoming)
    }

    fn closure(&self, services: &[String], direction: Direction) -> Vec<&str> {
        let mut found: BTreeSet<NodeIndex> = BTreeSet::new();
        let mut pending: Vec<NodeIndex> = services
            .iter()
            .filter_map(|name| self.nodes.get(name).copied())
            .collect();
        while let Some(node) = pending.pop() {
            if found.insert(node) {
                pending.extend(self.graph.neighbors_directed(node, direction));
            }
        }
        self.order()
            .filter(|name| found.contains(&self.nodes[*name]))
            .collect()
    }
}

fn condition_of(word: &str) -> Condition {
    match word {
        "service_healthy" => Condition::Healthy,
        "service_completed_successfully" => Condition::CompletedSuccessfully,
        _ => Condition::Started,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> ServiceGraph {
        ServiceGraph::from_labels([
            (
                "web",
                "api:service_started:true,cache:service_started:false",
            ),
            ("api", "db:service_healthy:false"),
            ("db", ""),
            ("cache", ""),
        ])
    }

    #[test]
    fn dependencies_come_first_and_else_the_order_of_the_file_holds() {
        let graph = graph();
        let order: Vec<_> = graph.order().collect();
        assert_eq!(order, ["db", "api", "cache", "web"]);
        let reverse: Vec<_> = graph.reverse_order().collect();
        assert_eq!(reverse, ["web", "cache", "api", "db"]);
    }

    #[test]
    fn closures_go_all_the_way() {
        let graph = graph();
        assert_eq!(graph.with_dependencies(&["api".into()]), ["db", "api"]);
        assert_eq!(graph.with_dependants(&["db".into()]), ["db", "api", "web"]);
        assert!(graph.with_dependencies(&["none".into()]).is_empty());
    }

    #[test]
    fn an_edge_keeps_what_was_said() {
        let graph = graph();
        let [(name, edge)] = graph.dependants("api")[..] else {
            panic!("one service depends on api");
        };
        assert_eq!(name, "web");
        assert!(edge.restart);
        let [(_, edge)] = graph.dependencies("api")[..] else {
            panic!("api depends on one service");
        };
        assert_eq!(edge.condition, Condition::Healthy);
    }
}
