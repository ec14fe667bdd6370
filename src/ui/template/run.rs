//! Pure: a template carried out on a row.

use serde_json::Value;

use super::functions::Function;
use super::parse::{Branches, Command, Node, Operand, Pipeline};
use super::value::{Found, field, is_true, shown_operand};

/// What a template makes of a row.
///
/// # Errors
/// A field that the row does not have; arguments that a function does not take.
pub(super) fn run(nodes: &[Node], row: &Value) -> Result<String, String> {
    let row = Some(row.clone());
    let mut run = Run {
        out: String::new(),
        variables: vec![(String::new(), row.clone())],
    };
    run.list(nodes, &row)?;
    Ok(run.out)
}

enum Flow {
    On,
    Break,
    Continue,
}

/// Numbers may be gone through as well; so far.
const MOST_ROUNDS: u64 = 10_000;

struct Run {
    out: String,
    /// `$` has an empty name.
    variables: Vec<(String, Found)>,
}

impl Run {
    fn list(&mut self, nodes: &[Node], dot: &Found) -> Result<Flow, String> {
        let known = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if !matches!(flow, Flow::On) {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Found) -> Result<Flow, String> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.out.push_str(&shown_operand(&value));
                }
            }
            Node::If(branches) => return self.branch(branches, dot, |_, dot| dot.clone()),
            Node::With(branches) => return self.branch(branches, dot, |value, _| value.clone()),
            Node::Range(branches) => return self.range(branches, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// `then` chooses the dot of the branch that is taken.
    fn branch(
        &mut self,
        branches: &Branches,
        dot: &Found,
        then: fn(&Found, &Found) -> Found,
    ) -> Result<Flow, String> {
        let known = self.variables.len();
        let value = self.pipeline(&branches.on, dot)?;
        let flow = match is_true(&value) {
            true => self.list(&branches.then, &then(&value, dot)),
            false => self.list(&branches.otherwise, dot),
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, branches: &Branches, dot: &Found) -> Result<Flow, String> {
        let known = self.variables.len();
        let bare = Pipeline {
            variables: Vec::new(),
            ..branches.on.clone()
        };
        let items = items(self.pipeline(&bare, dot)?)?;
        if items.is_empty() {
            return self.list(&branches.otherwise, dot);
        }
        for (key, item) in items {
            let item = Some(item);
            let values = match branches.on.variables.len() {
                1 => vec![item.clone()],
                _ => vec![Some(key), item.clone()],
            };
            for (name, value) in branches.on.variables.iter().zip(values) {
                self.set(name, value, branches.on.declares)?;
            }
            let flow = self.list(&branches.then, &item)?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, value: Found, declares: bool) -> Result<(), String> {
        if declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let known = self.variables.iter_mut().rev();
        match known.into_iter().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => return Err(format!("undefined variable: ${name}")),
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Found) -> Result<Found, String> {
        let mut value: Option<Found> = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.flatten();
        if let [name] = pipeline.variables.as_slice() {
            self.set(name, value.clone(), pipeline.declares)?;
        }
        Ok(value)
    }

    /// `piped` is what the command before made: the last argument.
    fn command(
        &mut self,
        command: &Command,
        piped: Option<Found>,
        dot: &Found,
    ) -> Result<Found, String> {
        match &command.first {
            Operand::Function(function) => {
                let mut arguments = Vec::with_capacity(command.arguments.len() + 1);
                for argument in &command.arguments {
                    let argument = self.operand(argument, dot)?;
                    let is_settled = function.settles(&argument);
                    arguments.push(argument);
                    if is_settled {
                        return function.call(&arguments);
                    }
                }
                arguments.extend(piped);
                function.call(&arguments)
            }
            _ if piped.is_some() => Err("can't give argument to non-function".into()),
            Operand::Field(path) if !command.arguments.is_empty() => {
                let argument = self.operand(&command.arguments[0], dot)?;
                label(dot, path, &argument)
            }
            first => self.operand(first, dot),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Found) -> Result<Found, String> {
        match operand {
            Operand::Literal(value) => Ok(Some(value.clone())),
            Operand::Field(path) => field(dot, path),
            Operand::Variable(name, path) => {
                let mut known = self.variables.iter().rev();
                match known.find(|(known, _)| known == name) {
                    Some((_, value)) => field(value, path),
                    None => Err(format!("undefined variable: ${name}")),
                }
            }
            Operand::Function(function) => Function::call(*function, &[]),
            Operand::Pipeline(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                field(&value, path)
            }
        }
    }
}

/// What a range goes through, each with its key; maps in the order of their keys.
fn items(value: Found) -> Result<Vec<(Value, Value)>, String> {
    Ok(match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| (at.into(), item))
            .collect(),
        Some(Value::Object(fields)) => {
            let mut entries: Vec<(String, Value)> = fields.into_iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            entries
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect()
        }
        Some(Value::Number(number)) if number.is_u64() => {
            let rounds = number.as_u64().unwrap_or(0).min(MOST_ROUNDS);
            (0..rounds).map(|at| (at.into(), at.into())).collect()
        }
        other => {
            return Err(format!(
                "range can't iterate over {}",
                shown_operand(&other)
            ));
        }
    })
}

/// `.Label "key"`, of labels in one text.
fn label(dot: &Found, path: &[String], key: &Found) -> Result<Found, String> {
    let (_, above) = path.split_last().ok_or("missing field")?;
    let row = field(dot, above)?;
    let labels = match row.as_ref().and_then(|row| row.get("Labels")) {
        Some(Value::Object(labels)) => {
            let key = key.as_ref().and_then(Value::as_str).unwrap_or_default();
            let found = labels.get(key).and_then(Value::as_str);
            return Ok(Some(found.unwrap_or_default().into()));
        }
        Some(Value::String(labels)) => labels.as_str(),
        _ => "",
    };
    let found = labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (Some(name) == key.as_ref()?.as_str()).then_some(value));
    Ok(Some(found.unwrap_or_default().into()))
}
