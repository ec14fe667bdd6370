//! Pure: the functions of Go's templates, and those that Docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::value::{Found, is_map, is_true, shown, shown_operand};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Len,
    Index,
    Slice,
    Print,
    Printf,
    Println,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Json,
    Split,
    Join,
    Title,
    Lower,
    Upper,
    Pad,
    Truncate,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "or" => Self::Or,
            "not" => Self::Not,
            "len" => Self::Len,
            "index" => Self::Index,
            "slice" => Self::Slice,
            "print" => Self::Print,
            "printf" => Self::Printf,
            "println" => Self::Println,
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "lt" => Self::Lt,
            "le" => Self::Le,
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            "json" => Self::Json,
            "split" => Self::Split,
            "join" => Self::Join,
            "title" => Self::Title,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "pad" => Self::Pad,
            "truncate" => Self::Truncate,
            _ => return None,
        })
    }

    /// The value of `and` and `or` as soon as it is known.
    pub(super) fn settles(self, argument: &Found) -> bool {
        match self {
            Self::And => !is_true(argument),
            Self::Or => is_true(argument),
            _ => false,
        }
    }

    /// # Errors
    /// Arguments that it does not take.
    pub(super) fn call(self, arguments: &[Found]) -> Result<Found, String> {
        let text = match (self, arguments) {
            // What settled them, or the last.
            (Self::And | Self::Or, [.., last]) => return Ok(last.clone()),
            (Self::Not, [one]) => return Ok(Some((!is_true(one)).into())),
            (Self::Len, [one]) => return length(one),
            (Self::Index, [item, keys @ ..]) => return index(item, keys),
            (Self::Slice, [item, bounds @ ..]) => return slice(item, bounds),
            (Self::Eq, [one, others @ ..]) if !others.is_empty() => {
                return equals_any(one, others);
            }
            (Self::Ne, [one, other]) => {
                return Ok(Some((compare(one, other)? != Ordering::Equal).into()));
            }
            (Self::Lt | Self::Le | Self::Gt | Self::Ge, [one, other]) => {
                let order = ordered(one, other)?;
                let holds = match self {
                    Self::Lt => order.is_lt(),
                    Self::Le => order.is_le(),
                    Self::Gt => order.is_gt(),
                    _ => order.is_ge(),
                };
                return Ok(Some(holds.into()));
            }
            (Self::Split, [text, separator]) => {
                let (text, separator) = (string(text)?, string(separator)?);
                let parts = text.split(separator.as_str()).map(Value::from);
                return Ok(Some(parts.collect::<Vec<_>>().into()));
            }
            (Self::Print, arguments) => printed(arguments),
            (Self::Println, arguments) => {
                let texts: Vec<String> = arguments.iter().map(shown_operand).collect();
                format!("{}\n", texts.join(" "))
            }
            (Self::Printf, [format, arguments @ ..]) => formatted(&string(format)?, arguments)?,
            (Self::Json, [one]) => super::json(one.as_ref().unwrap_or(&Value::Null)),
            (Self::Join, [Some(Value::Array(items)), separator]) => {
                let texts: Vec<String> = items.iter().map(shown).collect();
                texts.join(&string(separator)?)
            }
            (Self::Join, [None | Some(Value::Null), _]) => String::new(),
            (Self::Title, [text]) => title(&string(text)?),
            (Self::Lower, [text]) => string(text)?.to_lowercase(),
            (Self::Upper, [text]) => string(text)?.to_uppercase(),
            (Self::Pad, [text, before, after]) => {
                let text = string(text)?;
                let blanks = |count: &Found| Ok::<_, String>(" ".repeat(number(count)?.min(1000)));
                match text.is_empty() {
                    true => text,
                    false => format!("{}{text}{}", blanks(before)?, blanks(after)?),
                }
            }
            (Self::Truncate, [text, length]) => {
                string(text)?.chars().take(number(length)?).collect()
            }
            _ => return Err(format!("wrong arguments for {self:?}").to_lowercase()),
        };
        Ok(Some(text.into()))
    }
}

fn string(value: &Found) -> Result<String, String> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(format!("{} is no string", shown_operand(other))),
    }
}

fn number(value: &Found) -> Result<usize, String> {
    let number = value.as_ref().and_then(Value::as_u64);
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("{} is no number of these", shown_operand(value)))
}

fn length(value: &Found) -> Result<Found, String> {
    let length = match value {
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(fields)) => fields.len(),
        Some(Value::Null) => 0,
        other => return Err(format!("len of {}", shown_operand(other))),
    };
    Ok(Some(length.into()))
}

fn index(item: &Found, keys: &[Found]) -> Result<Found, String> {
    let mut item = item.clone();
    for key in keys {
        item = match (item, key) {
            (Some(Value::Array(items)), key) => {
                let at = number(key)?;
                let found = items.get(at).cloned();
                Some(found.ok_or_else(|| format!("index out of range: {at}"))?)
            }
            (Some(Value::Object(fields)), Some(Value::String(key))) => {
                match fields.get(key).cloned() {
                    Some(found) => Some(found),
                    None if is_map(&fields) => zero(fields.values().next()),
                    None => return Err(format!("can't index item with {key:?}")),
                }
            }
            (Some(Value::Null), Some(Value::String(_))) => None,
            (item, key) => {
                let (item, key) = (shown_operand(&item), shown_operand(key));
                return Err(format!("can't index {item} with {key}"));
            }
        };
    }
    Ok(item)
}

/// What a map has for a key that it does not have, by what it has for another.
fn zero(other: Option<&Value>) -> Found {
    match other {
        Some(Value::String(_)) | None => Some("".into()),
        Some(Value::Number(_)) => Some(0.into()),
        Some(Value::Bool(_)) => Some(false.into()),
        Some(Value::Array(_)) => Some(Value::Array(Vec::new())),
        Some(Value::Object(_) | Value::Null) => None,
    }
}

fn slice(item: &Found, bounds: &[Found]) -> Result<Found, String> {
    let out_of_range = || "slice: index out of range".to_owned();
    let length = match item {
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(items)) => items.len(),
        other => return Err(format!("slice of {}", shown_operand(other))),
    };
    let start = bounds.first().map_or(Ok(0), number)?;
    let end = bounds.get(1).map_or(Ok(length), number)?;
    let part = match item {
        Some(Value::String(text)) => text.get(start..end).map(Value::from),
        Some(Value::Array(items)) => items.get(start..end).map(|part| part.to_vec().into()),
        _ => None,
    };
    part.map(Some).ok_or_else(out_of_range)
}

fn equals_any(one: &Found, others: &[Found]) -> Result<Found, String> {
    for other in others {
        if compare(one, other)? == Ordering::Equal {
            return Ok(Some(true.into()));
        }
    }
    Ok(Some(false.into()))
}

/// Equal or not, of values of a kind.
fn compare(one: &Found, other: &Found) -> Result<Ordering, String> {
    let nothing = |value: &Found| matches!(value, None | Some(Value::Null));
    match (one, other) {
        (Some(Value::Bool(one)), Some(Value::Bool(other))) => Ok(one.cmp(other)),
        _ if nothing(one) || nothing(other) => Ok(nothing(one).cmp(&nothing(other))),
        _ => ordered(one, other),
    }
}

fn ordered(one: &Found, other: &Found) -> Result<Ordering, String> {
    let incompatible = || "incompatible types for comparison".to_owned();
    match (one, other) {
        (Some(Value::String(one)), Some(Value::String(other))) => Ok(one.cmp(other)),
        (Some(Value::Number(one)), Some(Value::Number(other))) => {
            match (one.as_i64(), other.as_i64()) {
                (Some(one), Some(other)) => Ok(one.cmp(&other)),
                _ => one
                    .as_f64()
                    .zip(other.as_f64())
                    .and_then(|(one, other)| one.partial_cmp(&other))
                    .ok_or_else(incompatible),
            }
        }
        _ => Err(incompatible()),
    }
}

/// A blank between two of which neither is a string.
fn printed(arguments: &[Found]) -> String {
    let mut text = String::new();
    let is_string = |value: &Found| matches!(value, Some(Value::String(_)));
    for (at, argument) in arguments.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| &arguments[at]);
        if before.is_some_and(|before| !is_string(before) && !is_string(argument)) {
            text.push(' ');
        }
        text.push_str(&shown_operand(argument));
    }
    text
}

fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut begins = true;
    for character in text.chars() {
        match begins {
            true => titled.extend(character.to_uppercase()),
            false => titled.push(character),
        }
        begins = character.is_whitespace();
    }
    titled
}

/// `fmt.Sprintf`.
fn formatted(format: &str, arguments: &[Found]) -> Result<String, String> {
    let mut text = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        text.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let verb_at = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .ok_or_else(|| format!("printf: no verb in {format:?}"))?;
        let (how, after) = rest.split_at(verb_at);
        let verb = after.chars().next().unwrap_or('v');
        rest = &after[verb.len_utf8()..];
        text.push_str(&match arguments.next() {
            Some(argument) => one_formatted(how, verb, argument)?,
            None => format!("%!{verb}(MISSING)"),
        });
    }
    text.push_str(rest);
    Ok(text)
}

/// `%-10.3s`: the flags, width and precision before the verb.
fn one_formatted(how: &str, verb: char, argument: &Found) -> Result<String, String> {
    let size = how.trim_start_matches(['-', '+', ' ', '0', '#']);
    let flags = &how[..how.len() - size.len()];
    let (width, precision) = size.split_once('.').unwrap_or((size, ""));
    let parsed = |text: &str| match text {
        "" => Ok(None),
        text => match text.parse::<usize>() {
            Ok(number) if number <= 1000 => Ok(Some(number)),
            _ => Err(format!("printf: bad width in %{how}{verb}")),
        },
    };
    let (width, precision) = (parsed(width)?.unwrap_or(0), parsed(precision)?);
    let wrong = || format!("%!{verb}({})", shown_operand(argument));
    let value = argument.as_ref();
    let mut text = match verb {
        'v' | 's' => shown_operand(argument),
        'q' => format!("{:?}", shown_operand(argument)),
        't' => value
            .and_then(Value::as_bool)
            .map_or_else(wrong, |it| it.to_string()),
        'd' => value
            .and_then(Value::as_i64)
            .map_or_else(wrong, |it| it.to_string()),
        'x' | 'X' => {
            let hex = match value {
                Some(Value::String(text)) => {
                    text.bytes().map(|byte| format!("{byte:02x}")).collect()
                }
                _ => value
                    .and_then(Value::as_i64)
                    .map_or_else(wrong, |it| format!("{it:x}")),
            };
            if verb == 'X' { hex.to_uppercase() } else { hex }
        }
        'f' => {
            let places = precision.unwrap_or(6);
            value
                .and_then(Value::as_f64)
                .map_or_else(wrong, |it| format!("{it:.places$}"))
        }
        _ => return Err(format!("printf: %{verb} is not known here")),
    };
    if let (Some(most), 's' | 'v' | 'q') = (precision, verb) {
        text = text.chars().take(most).collect();
    }
    if flags.contains('+') && matches!(verb, 'd' | 'f') && !text.starts_with('-') {
        text.insert(0, '+');
    }
    let missing = width.saturating_sub(text.chars().count());
    let is_number = matches!(verb, 'd' | 'f' | 'x' | 'X');
    Ok(match flags {
        flags if flags.contains('-') => format!("{text}{}", " ".repeat(missing)),
        flags if flags.contains('0') && is_number => format!("{}{text}", "0".repeat(missing)),
        _ => format!("{}{text}", " ".repeat(missing)),
    })
}
