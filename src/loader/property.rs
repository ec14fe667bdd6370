//! Files made up from the tables of keys: what `config` prints of them means the same, and what is
//! wrong with them is told at its place.

use std::cell::Cell;

use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::Failed;
use super::keys::{ROOT, SERVICE};
use super::schema::{Key, Shape};
use super::tests::load_text;
use crate::diag::{Diagnostics, FileId, Span};
use crate::model::canon;
use crate::yaml::{Kind, Map, Node, parse, write};

/// Texts that mean something somewhere, and some that are hard to print.
const TEXTS: &[&str] = &[
    "a",
    "b-1",
    "/x",
    "./y",
    "~",
    "1",
    "0",
    "80",
    "8080:80/udp",
    "a:b",
    "a=b",
    "x=",
    "yes",
    "n",
    "null",
    "1.50",
    "0x1f",
    "12:30",
    "10.0.0.1",
    "10.1.0.0/16",
    "::1",
    "service:a",
    "container:c",
    "every_2h",
    "no",
    "on-failure:3",
    "data:/d:ro",
    "./s:/t",
    "a b",
    " a",
    "a ",
    "it's",
    "say \"x\"",
    "# c",
    "a: b",
    "- a",
    "*x",
    "&y",
    "{z}",
    "[w]",
    "$${V}",
    "$$",
    "tab\there",
    "two\nlines",
    "end\n",
    "\u{e9}",
    "\u{2028}",
    "%",
    "@at",
    "!t",
    "0440",
    "all",
    "true",
    "2001-01-01",
    "1e3",
    "host",
];
const NAMES: &[&str] = &["a", "b", "default", "x-own", "y", "A_B", "1", "a.b", "data"];
const INTEGERS: &[i128] = &[0, 1, 5, -1, 80, 8443];
const SIZES: &[&str] = &["1m", "0", "1.5g", "-1", "1024"];
const DURATIONS: &[&str] = &["90s", "0s", "1d", "1500ms", "0"];

/// Decisions, one byte each; when they are used up, the first choice is taken.
struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// Now and then something of another shape.
    spoilt: bool,
}

impl Choices<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.bytes.next().map_or(0, |byte| usize::from(*byte) % end)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn value(&mut self, shape: &Shape) -> Node {
        if self.spoilt && self.below(10) == 9 {
            return self.something_else();
        }
        match shape {
            Shape::Any => Node::null(nowhere()),
            Shape::String | Shape::Duration if self.below(8) == 7 => text("${UNSET:-1s}"),
            Shape::String | Shape::Pair => text(self.of(TEXTS)),
            Shape::Text | Shape::TextOrWhole if self.below(2) == 1 => self.integer(),
            Shape::Plain if self.below(2) == 1 => self.number(),
            Shape::Switch if self.below(2) == 1 => Node::bool(true, nowhere()),
            Shape::Text | Shape::TextOrWhole | Shape::Plain | Shape::Switch => text(self.of(TEXTS)),
            Shape::Bool => match self.below(3) {
                0 => Node::bool(true, nowhere()),
                1 => Node::bool(false, nowhere()),
                _ => text("yes"),
            },
            Shape::Integer | Shape::Whole => self.integer(),
            Shape::Between(least, most) => {
                let most = (*most).min(100);
                let value = self.of(&[*least, most, most / 2]);
                Node::integer(i128::from(value), nowhere())
            }
            Shape::Count => match self.below(2) {
                0 => text("all"),
                _ => self.integer(),
            },
            Shape::Number => self.number(),
            Shape::Bytes => text(self.of(SIZES)),
            Shape::Duration => text(self.of(DURATIONS)),
            Shape::OneOf(words) => text(self.of(words)),
            Shape::List(item) | Shape::Unique(item) => {
                let items = (0..self.below(3)).map(|_| self.value(item));
                Node::list(items.collect(), nowhere())
            }
            Shape::Pairs => self.pairs(),
            Shape::Map(inner) => self.map(inner),
            Shape::Object(keys) => self.object(keys, 3),
            Shape::Nullable(inner) => match self.below(4) {
                3 => Node::null(nowhere()),
                _ => self.value(inner),
            },
            Shape::Either(shapes) => {
                let shape = self.below(shapes.len());
                self.value(&shapes[shape])
            }
        }
    }

    fn something_else(&mut self) -> Node {
        match self.below(6) {
            0 => Node::null(nowhere()),
            1 => Node::list(vec![Node::null(nowhere()), text("a")], nowhere()),
            2 => self.map(&Shape::Number),
            3 => self.number(),
            4 => Node::list(vec![self.map(&Shape::Text)], nowhere()),
            _ => text(self.of(TEXTS)),
        }
    }

    fn integer(&mut self) -> Node {
        Node::integer(self.of(INTEGERS), nowhere())
    }

    fn number(&mut self) -> Node {
        let text = self.of(&["0.5", "1", "2.25", "0", "1.0"]);
        let root = parse(text, FileId(0), &mut Diagnostics::default());
        root.into_iter()
            .next()
            .map_or(Node::null(nowhere()), |document| document.root)
    }

    fn pairs(&mut self) -> Node {
        if self.below(2) == 0 {
            return self.map(&Shape::Nullable(&Shape::Plain));
        }
        let items = (0..self.below(3)).map(|_| {
            let (name, value) = (self.of(NAMES), self.of(TEXTS));
            text(&format!("{name}={value}"))
        });
        Node::list(items.collect(), nowhere())
    }

    fn map(&mut self, shape: &Shape) -> Node {
        let mut map = Map::new();
        for _ in 0..self.below(3) {
            let name = self.of(NAMES);
            map.insert(name, nowhere(), self.value(shape));
        }
        Node::map(map, nowhere())
    }

    /// What must be there, and at most so many other keys.
    fn object(&mut self, keys: &[Key], most: usize) -> Node {
        const LEFT_OUT: &[&str] = &["extends", "include", "name", "services", "version"];
        let mut map = Map::new();
        for key in keys.iter().filter(|key| key.required) {
            map.insert(key.name, nowhere(), self.value(&key.shape));
        }
        for _ in 0..self.below(most + 1) {
            let key = &keys[self.below(keys.len())];
            if !LEFT_OUT.contains(&key.name) {
                map.insert(key.name, nowhere(), self.value(&key.shape));
            }
        }
        Node::map(map, nowhere())
    }

    /// A file of two services and a few resources.
    fn file(&mut self) -> String {
        let mut services = Map::new();
        for name in ["a", "b-2"] {
            let mut service = self.object(SERVICE, 4);
            if let Some(map) = service.as_map_mut() {
                map.insert("image", nowhere(), text("busybox"));
            }
            services.insert(name, nowhere(), service);
        }
        let mut root = self.object(ROOT, 3);
        if let Some(map) = root.as_map_mut() {
            map.insert("services", nowhere(), Node::map(services, nowhere()));
        }
        write::to_yaml(&root)
    }
}

fn nowhere() -> Span {
    Span::new(FileId(0), 0, 0)
}

fn text(text: &str) -> Node {
    Node::string(text, nowhere())
}

fn printed(file: &str) -> Result<String, String> {
    let words = |failed: Failed| format!("{:?}", failed.diagnostics);
    let project = load_text(file).map_err(words)?;
    let mut root = canon::project(&project);
    double_dollars(&mut root);
    Ok(write::to_yaml(&root))
}

fn made_up(bytes: &[u8], spoilt: bool) -> String {
    let bytes = bytes.iter();
    Choices { bytes, spoilt }.file()
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    })
}

/// Names are never interpolated.
fn double_dollars(node: &mut Node) {
    match &mut node.kind {
        Kind::Null => {}
        Kind::Scalar(scalar) => scalar.text = scalar.text.replace('$', "$$").into(),
        Kind::List(items) => items.iter_mut().for_each(double_dollars),
        Kind::Map(map) => map
            .iter_mut()
            .for_each(|entry| double_dollars(&mut entry.value)),
    }
}

#[test]
fn what_is_printed_means_the_same() {
    let loaded = Cell::new(0);
    let choices = proptest::collection::vec(proptest::num::u8::ANY, 0..160);
    let result = runner().run(&choices, |bytes| {
        let file = made_up(&bytes, false);
        let Ok(once) = printed(&file) else {
            return Ok(());
        };
        loaded.set(loaded.get() + 1);
        match printed(&once) {
            Ok(twice) if twice == once => Ok(()),
            Ok(twice) => Err(TestCaseError::fail(format!(
                "{file}\n--- once\n{once}--- twice\n{twice}"
            ))),
            Err(told) => Err(TestCaseError::fail(format!(
                "{file}\n--- once\n{once}--- {told}"
            ))),
        }
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(loaded.get() > 100, "only {} files were right", loaded.get());
}

#[test]
fn whatever_is_wrong_is_told_at_its_place() {
    let wrong = Cell::new(0);
    let choices = proptest::collection::vec(proptest::num::u8::ANY, 0..240);
    let result = runner().run(&choices, |bytes| {
        let file = made_up(&bytes, true);
        let Err(failed) = load_text(&file) else {
            return Ok(());
        };
        wrong.set(wrong.get() + 1);
        for diagnostic in failed.diagnostics.iter() {
            if diagnostic.labels.is_empty() {
                return Err(TestCaseError::fail(format!("{file}\n{diagnostic:?}")));
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(wrong.get() > 100, "only {} files were wrong", wrong.get());
}
