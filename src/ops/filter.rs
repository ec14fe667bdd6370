//! `--filter` of lists and prunes: `key=value`, repeated.

use indexmap::IndexMap;
use jiff::Timestamp;
use ketch_runtime::engine::Engine;
use ketch_runtime::image::Image;

use super::{Error, Result};
use crate::units::duration;

/// What was asked for: different keys must all hold, of one key any (`label` all).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads the values of `--filter`; keys outside of `known` are refused.
    ///
    /// # Errors
    /// In Docker's words.
    pub fn parse(given: &[String], known: &[&str]) -> Result<Self> {
        let mut filters = Vec::new();
        for text in given {
            let Some((key, value)) = text.split_once('=') else {
                let message = format!(
                    "invalid argument {text:?} for \"-f, --filter\" flag: invalid filter {text:?} (should be of form key=value)"
                );
                return Err(Error::Failed(message));
            };
            // `label!=x` is a key of its own.
            let key = key.trim().to_ascii_lowercase();
            if !known.contains(&key.as_str()) {
                return Err(Error::Failed(format!("invalid filter '{key}'")));
            }
            filters.push((key, value.trim().to_owned()));
        }
        Ok(Self(filters))
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a key.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter();
        pairs.filter_map(move |(known, value)| (known == key).then_some(value.as_str()))
    }

    /// Whether one of a key's values fits, or none was given.
    pub fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.values(key).next().is_none() || self.values(key).any(fits)
    }

    /// A key that says yes or no.
    ///
    /// # Errors
    /// Another word.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let mut said = None;
        for value in self.values(key) {
            said = Some(match value {
                "true" | "1" | "True" | "t" => true,
                "false" | "0" | "False" | "f" => false,
                _ => {
                    let message = format!("invalid filter '{key}={value}'");
                    return Err(Error::Failed(message));
                }
            });
        }
        Ok(said)
    }

    /// Whether labels fit: all of `label`, none of `label!`.
    pub fn labels<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => get(key) == Some(value),
            None => get(wanted).is_some(),
        };
        self.values("label").all(has) && !self.values("label!").any(has)
    }

    /// `until`: only what is older.
    ///
    /// # Errors
    /// What is neither a time nor a duration.
    pub fn until(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let mut until = None;
        for text in self.values("until") {
            until = Some(time(text, now)?);
        }
        Ok(until)
    }

    /// What images are asked for; names that `before` and `since` mean are looked up.
    ///
    /// # Errors
    /// An image that is not there; a time that is none.
    pub fn images(&self, engine: &Engine) -> Result<ImageFilter<'_>> {
        let created = |key: &str| -> Result<Vec<Option<Timestamp>>> {
            let named = self.values(key).map(|name| Ok(engine.image(name)?.created));
            named.collect()
        };
        Ok(ImageFilter {
            dangling: self.flag("dangling")?,
            before: created("before")?,
            since: created("since")?,
            until: self.until(Timestamp::now())?,
            filters: self,
        })
    }
}

/// [`Filters`] about images, made ready.
#[derive(Debug)]
pub struct ImageFilter<'a> {
    filters: &'a Filters,
    /// Absent: nothing was said.
    pub dangling: Option<bool>,
    before: Vec<Option<Timestamp>>,
    since: Vec<Option<Timestamp>>,
    until: Option<Timestamp>,
}

impl ImageFilter<'_> {
    /// Whether an image is one of those.
    pub fn fits(&self, image: &Image) -> bool {
        let labels = image.config.config.labels.as_ref();
        let is_dangling = image.references.is_empty();
        let created = image.created;
        self.dangling.is_none_or(|wanted| wanted == is_dangling)
            && self
                .filters
                .labels(|key| labels?.get(key).map(String::as_str))
            && self.before.iter().all(|then| created < *then)
            && self.since.iter().all(|then| created > *then)
            && self
                .until
                .is_none_or(|until| created.is_none_or(|created| created < until))
            && self.filters.any("reference", |pattern| {
                let names = image.references.iter();
                let mut names =
                    names.flat_map(|name| [name.as_str(), super::images::split(name).0]);
                names.any(|name| is_match(pattern, name))
            })
    }
}

/// `K=V` and `K` of the command line; the last of a key counts.
pub fn pairs(given: &[String]) -> IndexMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    given.iter().map(pair).collect()
}

/// Labels on one line, as lists show them.
pub fn labels(labels: &IndexMap<String, String>) -> String {
    let mut pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.sort();
    pairs.join(",")
}

/// RFC 3339 (parts may be missing), seconds since 1970, or a Go duration before now.
fn time(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(before) = duration::parse(text)
        && let Ok(before) = jiff::SignedDuration::try_from(before)
        && let Ok(then) = now.checked_sub(before)
    {
        return Ok(then);
    }
    let whole = text.split('.').next().unwrap_or(text);
    if let Ok(seconds) = whole.parse::<i64>()
        && let Ok(then) = Timestamp::from_second(seconds)
    {
        return Ok(then);
    }
    if let Ok(then) = text.parse::<Timestamp>() {
        return Ok(then);
    }
    let local = text.parse::<jiff::civil::DateTime>().or_else(|_| {
        text.parse::<jiff::civil::Date>()
            .map(|date| date.to_datetime(jiff::civil::Time::midnight()))
    });
    local
        .and_then(|local| local.to_zoned(jiff::tz::TimeZone::UTC))
        .map(|zoned| zoned.timestamp())
        .map_err(|_| Error::Failed(format!("invalid value for \"until\": {text:?}")))
}

/// Go's path.Match: `*` and `?` do not cross a slash, `[a-z]` is a class.
fn is_match(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    let mut letters = text.chars();
    match first {
        '*' => {
            let mut left = text;
            loop {
                if is_match(rest, left) {
                    return true;
                }
                match left.chars().next() {
                    Some(letter) if letter != '/' => left = &left[letter.len_utf8()..],
                    _ => return false,
                }
            }
        }
        '?' => letters.next().is_some_and(|it| it != '/') && is_match(rest, letters.as_str()),
        '[' => {
            let Some((class, rest)) = rest.split_once(']') else {
                return false;
            };
            let Some(letter) = letters.next() else {
                return false;
            };
            let (class, negated) = match class.strip_prefix('^') {
                Some(class) => (class, true),
                None => (class, false),
            };
            in_class(class, letter) != negated && is_match(rest, letters.as_str())
        }
        '\\' => {
            let Some(escaped) = rest.chars().next() else {
                return false;
            };
            letters.next() == Some(escaped)
                && is_match(&rest[escaped.len_utf8()..], letters.as_str())
        }
        same => letters.next() == Some(same) && is_match(rest, letters.as_str()),
    }
}

fn in_class(class: &str, letter: char) -> bool {
    let class: Vec<char> = class.chars().collect();
    let mut at = 0;
    while at < class.len() {
        match class[at..] {
            [from, '-', to, ..] => {
                if (from..=to).contains(&letter) {
                    return true;
                }
                at += 3;
            }
            [one, ..] => {
                if one == letter {
                    return true;
                }
                at += 1;
            }
            [] => break,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_go_s() {
        for (pattern, text, expected) in [
            ("p*", "pi:1", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("b?sybox", "busybox", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a\\*", "a*", true),
            ("[", "[", false),
            ("", "a", false),
        ] {
            assert_eq!(is_match(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_time_is_absolute_or_before_now() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let at = |text: &str| time(text, now).map(|then| then.to_string()).ok();
        assert_eq!(at("24h").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(at("2025-12-31").as_deref(), Some("2025-12-31T00:00:00Z"));
        assert_eq!(
            at("2025-12-31T10:00:00").as_deref(),
            Some("2025-12-31T10:00:00Z")
        );
        assert_eq!(at("0").as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(at("1700000000").as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(at("yesterday"), None);
    }

    #[test]
    fn labels_must_all_fit_and_none_of_the_others() {
        let parsed = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|it| (*it).to_owned()).collect();
            Filters::parse(&given, &["label", "label!"]).unwrap()
        };
        let get = |key: &str| (key == "a").then_some("1");
        assert!(parsed(&["label=a", "label=a=1"]).labels(get));
        assert!(!parsed(&["label=a=2"]).labels(get));
        assert!(!parsed(&["label!=a"]).labels(get));
        assert!(parsed(&["label!=b"]).labels(get));
        assert!(Filters::parse(&["x=1".into()], &["label"]).is_err());
        assert!(Filters::parse(&["label".into()], &["label"]).is_err());
    }
}
