//! Pure: what `WWW-Authenticate` asks for (RFC 9110, 11.6.1; the token scheme of registries).

/// One way to prove who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    /// A token of another server.
    Bearer(Bearer),
}

/// Where the token is to be had, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bearer {
    pub realm: String,
    pub service: String,
    /// As the server names them; may be less than what is needed.
    pub scopes: Vec<String>,
    /// `insufficient_scope`, `invalid_token`.
    pub error: String,
}

/// The best of all challenges of an answer: Bearer before Basic; unknown schemes are passed over.
pub fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut chosen = None;
    for header in headers {
        for challenge in parse(header) {
            match challenge {
                Challenge::Bearer(_) => return Some(challenge),
                Challenge::Basic => chosen = Some(challenge),
            }
        }
    }
    chosen
}

/// All challenges of one header.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            break;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || c == ',' || c == '=')
            .unwrap_or(rest.len());
        let word = &rest[..end];
        let after = rest[end..].trim_start();
        if let (Some(value), Some((_, parameters))) = (after.strip_prefix('='), found.last_mut()) {
            let (value, left) = value_of(value.trim_start());
            parameters.push((word.to_ascii_lowercase(), value));
            rest = left;
        } else {
            found.push((word.to_ascii_lowercase(), Vec::new()));
            rest = after.strip_prefix('=').unwrap_or(after);
        }
    }
    found
        .into_iter()
        .filter_map(|(scheme, parameters)| challenge(&scheme, parameters))
        .collect()
}

fn challenge(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let mut bearer = Bearer::default();
            for (key, value) in parameters {
                match key.as_str() {
                    "realm" => bearer.realm = value,
                    "service" => bearer.service = value,
                    "scope" => bearer
                        .scopes
                        .extend(value.split_whitespace().map(str::to_owned)),
                    "error" => bearer.error = value,
                    _ => {}
                }
            }
            Some(Challenge::Bearer(bearer))
        }
        _ => None,
    }
}

/// A token or a quoted string, and what stands behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(header: &str) -> Bearer {
        match choose([header]) {
            Some(Challenge::Bearer(bearer)) => bearer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_server_is_named_with_its_scopes() {
        let told = bearer(
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
             scope=\"repository:a/b:pull,push repository:c:pull\"",
        );
        assert_eq!(told.realm, "https://auth.docker.io/token");
        assert_eq!(told.service, "registry.docker.io");
        assert_eq!(
            told.scopes,
            ["repository:a/b:pull,push", "repository:c:pull"]
        );
    }

    #[test]
    fn case_spaces_and_escapes_do_not_matter() {
        let told = bearer(r#"  bEaReR  REALM = "a\"b" , error=invalid_token"#);
        assert_eq!(
            (told.realm.as_str(), told.error.as_str()),
            ("a\"b", "invalid_token")
        );
    }

    #[test]
    fn bearer_is_preferred_wherever_it_stands() {
        let both = r#"Basic realm="x, y", Negotiate, Bearer realm="z""#;
        assert_eq!(bearer(both).realm, "z");
        let separate = choose(["Basic realm=r", "Bearer realm=z"]);
        assert!(matches!(separate, Some(Challenge::Bearer(_))));
        assert_eq!(choose([r#"Basic realm="r""#]), Some(Challenge::Basic));
        assert_eq!(choose(["Digest qop=auth", ""]), None);
    }

    #[test]
    fn broken_headers_end() {
        for header in [
            "=",
            "Bearer realm=\"",
            "Bearer ,,,=",
            "\"",
            "Bearer realm==",
            "a=b",
        ] {
            let _any = choose([header]);
        }
    }
}
