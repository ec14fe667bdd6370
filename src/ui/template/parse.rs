//! Pure: from words to a tree.

use serde_json::Value;

use super::functions::Function;
use super::lex::{Piece, Token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Branches),
    With(Branches),
    Range(Branches),
    Break,
    Continue,
}

/// `{{if pipeline}} then {{else}} otherwise {{end}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branches {
    pub(super) on: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// They are new here; else there already.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    Literal(Value),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(Function),
    Pipeline(Pipeline, Vec<String>),
}

/// What ended a list of nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    Template,
    End,
    /// With what follows it: `if …`, `with …`.
    Else(Vec<Token>),
}

/// # Errors
/// What is no template, or asks for what is not known here.
pub(super) fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>, String> {
    let mut parser = Parser {
        pieces: pieces.into_iter(),
        depth: 0,
        loops: 0,
    };
    match parser.list()? {
        (nodes, Stop::Template) => Ok(nodes),
        (_, Stop::End) => Err("unexpected {{end}}".into()),
        (_, Stop::Else(_)) => Err("unexpected {{else}}".into()),
    }
}

/// Actions within actions; nobody writes more.
const DEEPEST: usize = 100;

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
    loops: usize,
}

impl Parser {
    fn list(&mut self) -> Result<(Vec<Node>, Stop), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                // A comment.
                Piece::Action(tokens) if tokens.is_empty() => continue,
                Piece::Action(tokens) => tokens,
            };
            let keyword = match &tokens[0] {
                Token::Word(word) => word.as_str(),
                _ => "",
            };
            match keyword {
                "end" => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(tokens[1..].to_vec()))),
                "if" | "with" | "range" => nodes.push(self.block(&tokens)?),
                "break" | "continue" if self.loops == 0 => {
                    return Err(format!("{{{{{keyword}}}}} outside {{{{range}}}}"));
                }
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "define" | "template" | "block" => {
                    return Err(format!("{{{{{keyword}}}}} is not known here"));
                }
                _ => {
                    let pipeline = pipeline(&tokens)?;
                    if pipeline.variables.len() > 1 {
                        return Err("too many declarations".into());
                    }
                    nodes.push(Node::Print(pipeline));
                }
            }
        }
        Ok((nodes, Stop::Template))
    }

    fn block(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let Some((Token::Word(keyword), on)) = tokens.split_first() else {
            return Err("missing keyword".into());
        };
        if self.depth == DEEPEST {
            return Err("too deeply nested".into());
        }
        self.depth += 1;
        let is_loop = keyword == "range";
        let on = pipeline(on).map_err(|error| format!("{error} for {keyword}"))?;
        if on.variables.len() > 1 && !is_loop {
            return Err(format!("too many declarations in {keyword}"));
        }
        self.loops += usize::from(is_loop);
        let (then, end) = self.list()?;
        self.loops -= usize::from(is_loop);
        let otherwise = match end {
            Stop::Template => return Err("unexpected EOF: an {{end}} is missing".into()),
            Stop::End => Vec::new(),
            Stop::Else(tokens) if tokens.is_empty() => match self.list()? {
                (nodes, Stop::End) => nodes,
                (_, Stop::Else(_)) => return Err("expected {{end}}; found {{else}}".into()),
                (_, Stop::Template) => return Err("unexpected EOF: an {{end}} is missing".into()),
            },
            // The `{{end}}` of this one is the outer one's too.
            Stop::Else(tokens) if tokens[0] == Token::Word(keyword.clone()) && !is_loop => {
                vec![self.block(&tokens)?]
            }
            Stop::Else(_) => return Err("unexpected word after else".into()),
        };
        self.depth -= 1;
        let branches = Branches {
            on,
            then,
            otherwise,
        };
        Ok(match keyword.as_str() {
            "if" => Node::If(branches),
            "with" => Node::With(branches),
            _ => Node::Range(branches),
        })
    }
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut rest = tokens;
    let pipeline = piped(&mut rest, 0)?;
    match rest.first() {
        None => Ok(pipeline),
        Some(_) => Err("unexpected right paren".into()),
    }
}

/// Up to the end, or to a `)`, which is left.
fn piped(tokens: &mut &[Token], depth: usize) -> Result<Pipeline, String> {
    let mut pipeline = Pipeline::default();
    let declared = match &**tokens {
        [
            Token::Variable(one, fields),
            how @ (Token::Declare | Token::Assign),
            ..,
        ] if fields.is_empty() => Some((vec![one.clone()], how, 2)),
        [
            Token::Variable(one, _),
            Token::Comma,
            Token::Variable(two, _),
            how @ (Token::Declare | Token::Assign),
            ..,
        ] => Some((vec![one.clone(), two.clone()], how, 4)),
        _ => None,
    };
    if let Some((variables, how, length)) = declared {
        pipeline.variables = variables;
        pipeline.declares = *how == Token::Declare;
        *tokens = &tokens[length..];
    }
    loop {
        pipeline.commands.push(command(tokens, depth)?);
        match tokens.first() {
            Some(Token::Pipe) => *tokens = &tokens[1..],
            _ => return Ok(pipeline),
        }
    }
}

fn command(tokens: &mut &[Token], depth: usize) -> Result<Command, String> {
    let mut operands = Vec::new();
    while let Some((token, rest)) = tokens.split_first() {
        let operand = match token {
            Token::Pipe | Token::Close(_) => break,
            Token::Literal(value) => Operand::Literal(value.clone()),
            Token::Field(fields) => Operand::Field(fields.clone()),
            Token::Variable(name, fields) => Operand::Variable(name.clone(), fields.clone()),
            Token::Word(word) => Operand::Function(
                Function::named(word).ok_or_else(|| format!("function {word:?} not defined"))?,
            ),
            Token::Open if depth == DEEPEST => return Err("too deeply nested".into()),
            Token::Open => {
                let mut inner = rest;
                let pipeline = piped(&mut inner, depth + 1)?;
                let Some((Token::Close(fields), rest)) = inner.split_first() else {
                    return Err("unclosed left paren".into());
                };
                operands.push(Operand::Pipeline(pipeline, fields.clone()));
                *tokens = rest;
                continue;
            }
            Token::Comma | Token::Declare | Token::Assign => {
                return Err("unexpected word in an action".into());
            }
        };
        operands.push(operand);
        *tokens = rest;
    }
    let mut operands = operands.into_iter();
    let first = operands.next().ok_or("missing value")?;
    let arguments: Vec<Operand> = operands.collect();
    let takes_arguments = match &first {
        Operand::Function(_) => true,
        // The one method that rows have.
        Operand::Field(fields) => fields.last().is_some_and(|field| field == "Label"),
        _ => false,
    };
    if !arguments.is_empty() && !takes_arguments {
        return Err("can't give argument to non-function".into());
    }
    Ok(Command { first, arguments })
}
