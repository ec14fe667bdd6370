//! Which variables hold secrets, by their names; and how a secret is hidden in a text.

/// What stands where a secret stood.
pub const HIDDEN: &str = "***";

/// Words that make a name a secret's wherever they stand in it.
const TELLING: [&str; 8] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "APIKEY",
    "PRIVATE",
];

/// Words that do so only on their own, as in `API_KEY` and `DB_PASS`.
const WHOLE: [&str; 4] = ["KEY", "PASS", "PWD", "AUTH"];

/// Whether the value of a variable of this name is nobody's business.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let mut words = name.split(['_', '-', '.']);
    TELLING.iter().any(|word| name.contains(word))
        // `PWD` itself is where the shell stands.
        || (name != "PWD" && words.any(|word| WHOLE.contains(&word)))
}

/// A text without a secret: the whole of it, and each of its parts that a message may have taken
/// out, unless it is no secret by itself. What stands before the first blank of the text is a
/// path and stays.
pub fn hidden(text: &str, secret: &str, is_open: &dyn Fn(&str) -> bool) -> String {
    let mut parts: Vec<&str> = secret
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|part| part.chars().count() > 1 && !is_open(part))
        .collect();
    parts.push(secret.trim());
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let blank = text.find(' ').unwrap_or(0);
    let (path, mut rest) = (&text[..blank], text[blank..].to_owned());
    for part in parts {
        rest = rest.replace(part, HIDDEN);
    }
    format!("{path}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for name in [
            "DB_PASSWORD",
            "dbpassword",
            "API_KEY",
            "TOKEN2",
            "MYSQL_PWD",
            "SMTP_PASS",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["PWD", "PORT", "KEYBOARD", "COMPASS", "TAG", ""] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn a_secret_and_its_parts_are_hidden() {
        let rows = [
            (
                "web.ports[0]: invalid: hunter2",
                "hunter2",
                "web.ports[0]: invalid: ***",
            ),
            (
                "ports: invalid hostPort: bb",
                "aa:bb",
                "ports: invalid hostPort: ***",
            ),
            ("p: \"a:b\" is x", "a:b", "p: \"***\" is x"),
            ("web: no web", "web", "web: no ***"),
            ("nothing here", "", "nothing here"),
            ("p: write 80, not x:80", "x:80", "p: write 80, not ***"),
        ];
        for (text, secret, expected) in rows {
            assert_eq!(hidden(text, secret, &|part| part == "80"), expected);
        }
    }
}
