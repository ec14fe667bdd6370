//! Where in a document a value stands: `services.web.ports[0]`.

use std::fmt;

/// A place in a tree, linked to the one above it; nothing is copied on the way down.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
    depth: usize,
}

/// The last step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The top of a document.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
        depth: 0,
    };

    /// The value of a key of this mapping.
    pub fn key<'b>(&'b self, key: &'b str) -> Path<'b>
    where
        'a: 'b,
    {
        Path {
            parent: Some(self),
            step: Step::Key(key),
            depth: self.depth + 1,
        }
    }

    /// An item of this list.
    pub fn index<'b>(&'b self, index: usize) -> Path<'b>
    where
        'a: 'b,
    {
        Path {
            parent: Some(self),
            step: Step::Index(index),
            depth: self.depth + 1,
        }
    }

    /// Whether it fits a pattern such as `services.*.ports`: `*` is any one key, `[]` any item,
    /// `**` at the end is anything below.
    pub fn matches(&self, pattern: &str) -> bool {
        // Patterns are short, and what is deeper fits only those with `**`: no need to allocate.
        let mut room = [Step::Root; 12];
        let steps = self.steps_in(&mut room);
        let mut at = 0;
        for word in pattern.split('.').filter(|word| !word.is_empty()) {
            if word == "**" {
                return true;
            }
            let (key, items) = match word.find('[') {
                Some(bracket) => (&word[..bracket], word[bracket..].matches("[]").count()),
                None => (word, 0),
            };
            if !key.is_empty() {
                match steps.get(at) {
                    Some(Step::Key(step)) if key == "*" || key == *step => at += 1,
                    _ => return false,
                }
            }
            for _ in 0..items {
                match steps.get(at) {
                    Some(Step::Index(_)) => at += 1,
                    _ => return false,
                }
            }
        }
        at == self.depth
    }

    /// The key of the last step, when it is one.
    pub fn last_key(&self) -> Option<&'a str> {
        if let Step::Key(key) = self.step {
            Some(key)
        } else {
            None
        }
    }

    /// Whether it lies in an item of a list, however deep.
    pub fn is_in_list(&self) -> bool {
        matches!(self.step, Step::Index(_)) || self.parent.is_some_and(Path::is_in_list)
    }

    /// The keys from the top to here, written into `room`. `None` when they don't fit, or when
    /// one of the steps is an item of a list.
    pub fn keys<'r>(&self, room: &'r mut [&'a str]) -> Option<&'r [&'a str]> {
        let keys = room.get_mut(..self.depth)?;
        let mut here = self;
        for place in keys.iter_mut().rev() {
            *place = here.last_key()?;
            here = here.parent?;
        }
        Some(keys)
    }

    /// How many steps below the top.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The steps from the top, as many as there is room for.
    fn steps_in<'r>(&self, room: &'r mut [Step<'a>]) -> &'r [Step<'a>] {
        let mut here = Some(self);
        while let Some(path) = here {
            if path.depth > 0
                && let Some(place) = room.get_mut(path.depth - 1)
            {
                *place = path.step;
            }
            here = path.parent;
        }
        &room[..self.depth.min(room.len())]
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let mut steps = Vec::with_capacity(self.depth);
        let mut here = Some(self);
        while let Some(path) = here {
            if path.step != Step::Root {
                steps.push(path.step);
            }
            here = path.parent;
        }
        steps.reverse();
        steps
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps();
        if steps.is_empty() {
            return formatter.write_str("the file");
        }
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Root => {}
                Step::Key(key) if number == 0 => formatter.write_str(key)?,
                Step::Key(key) => write!(formatter, ".{key}")?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn paths_print_and_match() {
        let (services, index) = (Path::ROOT.key("services"), 0);
        let web = services.key("web");
        let ports = web.key("ports");
        let first = ports.index(index);
        let target = first.key("target");
        assert_eq!(target.to_string(), "services.web.ports[0].target");
        assert_eq!(Path::ROOT.to_string(), "the file");
        assert!(target.is_in_list() && first.is_in_list() && !ports.is_in_list());
        let rows = [
            ("services.*.ports[].target", true),
            ("services.web.ports[].target", true),
            ("services.**", true),
            ("services.*.ports", false),
            ("services.*.ports.target", false),
            ("services.*.*[].*", true),
        ];
        for (pattern, expected) in rows {
            assert_eq!(target.matches(pattern), expected, "{pattern}");
        }
        assert_eq!(
            ports.keys(&mut [""; 4]),
            Some(&["services", "web", "ports"][..])
        );
        assert_eq!(ports.keys(&mut [""; 2]), None);
        assert_eq!(first.keys(&mut [""; 4]), None);
        assert_eq!(Path::ROOT.keys(&mut []), Some(&[][..]));
    }
}
