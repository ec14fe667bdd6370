//! Pure: `--format`: a table, JSON, or a template of Go's language (text/template), as scripts use it.
//!
//! Of the language all is here but `define`, `template` and `block`, and functions for HTML; of
//! functions those of Go and Docker's own (`json`, `join`, `split`, `lower`, `upper`, `title`,
//! `pad`, `truncate`). Rows are JSON, so what Go knows by types is known by names here
//! ([`value`]).

mod functions;
mod lex;
mod parse;
mod run;
mod value;

use serde_json::Value;

use super::table::{self, Layout};
use parse::{Node, Operand, Pipeline};

/// How rows are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    /// Columns chosen by a template, under a heading.
    TableOf(Template),
    /// A line for each row.
    Text(Template),
}

impl Format {
    /// Reads the value of `--format`.
    ///
    /// # Errors
    /// What the template has that is not known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "table" | "pretty" => Ok(Self::Table),
            "json" | "{{json .}}" => Ok(Self::Json),
            _ => match text.strip_prefix("table ") {
                Some(columns) => Template::parse(columns).map(Self::TableOf),
                None => Template::parse(text).map(Self::Text),
            },
        }
    }
}

/// A template taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Node>);

impl Template {
    /// Takes a template apart.
    ///
    /// # Errors
    /// What is no template, or not known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let nodes = lex::pieces(text).and_then(parse::parse);
        nodes
            .map(Self)
            .map_err(|error| format!("template parsing error: template: {error}"))
    }

    /// The text for one row.
    ///
    /// # Errors
    /// A field that the row does not have; arguments that a function does not take.
    pub fn apply(&self, row: &Value) -> Result<String, String> {
        run::run(&self.0, row).map_err(|error| format!("template: {error}"))
    }
}

/// The titles of some fields; others have their names in capitals.
pub type Titles<'a> = &'a [(&'a str, &'a str)];

/// The heading of a table.
fn heading(nodes: &[Node], titles: Titles<'_>) -> String {
    let of_node = |node: &Node| match node {
        Node::Text(text) => text.clone(),
        Node::Print(pipeline) => {
            let name = named(pipeline).unwrap_or_default();
            let known = titles.iter().find(|(field, _)| *field == name);
            known.map_or_else(|| capitals(&name), |(_, title)| (*title).to_owned())
        }
        Node::If(branches) | Node::With(branches) => heading(&branches.then, titles),
        Node::Range(_) | Node::Break | Node::Continue => String::new(),
    };
    nodes.iter().map(of_node).collect()
}

/// `CREATED AT` for `CreatedAt`.
fn capitals(name: &str) -> String {
    let mut title = String::with_capacity(name.len() + 4);
    let mut before = None;
    for character in name.chars() {
        if character.is_uppercase() && before.is_some_and(char::is_lowercase) {
            title.push(' ');
        }
        title.extend(character.to_uppercase());
        before = Some(character);
    }
    title
}

/// The first field in it, or the label that it asks for.
fn named(pipeline: &Pipeline) -> Option<String> {
    pipeline.commands.iter().find_map(|command| {
        let operands = std::iter::once(&command.first).chain(&command.arguments);
        let label = command.arguments.first().and_then(|label| match label {
            Operand::Literal(label) => label.as_str().map(str::to_owned),
            _ => None,
        });
        let mut names = operands.filter_map(|operand| match operand {
            Operand::Field(path) => path.last().cloned(),
            Operand::Pipeline(pipeline, _) => named(pipeline),
            _ => None,
        });
        let name = names.next()?;
        match name.as_str() {
            "Label" => label,
            _ => Some(name),
        }
    })
}

/// All rows as a template wants them, under a heading if there are titles for it.
///
/// # Errors
/// A field that the rows do not have.
pub fn render(
    template: &Template,
    titles: Option<Titles<'_>>,
    rows: &[Value],
) -> Result<String, String> {
    let mut lines = Vec::with_capacity(rows.len() + 1);
    if let Some(titles) = titles {
        lines.push(heading(&template.0, titles));
    }
    for row in rows {
        lines.push(template.apply(row)?);
    }
    if titles.is_some() {
        return Ok(table::align(Layout::Docker, &lines));
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// One line of JSON with `<`, `>` and `&` escaped, as Go's encoder does.
pub fn json(value: &Value) -> String {
    escaped(&value.to_string())
}

/// JSON text with those three escaped; they can only stand inside its strings.
pub fn escaped(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({"Name": "app-db-1", "State": "running", "Labels": "a=b,c=d", "Ports": "1->2", "Health": {"Status": "ok"}})
    }

    fn apply(text: &str) -> Result<String, String> {
        Template::parse(text)?.apply(&row())
    }

    #[test]
    fn fields_and_text_mix() {
        assert_eq!(
            apply("{{.Name}}: {{ .State }}").unwrap(),
            "app-db-1: running"
        );
        assert_eq!(apply(r#"{{.Label "c"}}"#).unwrap(), "d");
        assert_eq!(apply("{{.Health.Status}}").unwrap(), "ok");
        assert_eq!(apply("{{upper .State}}").unwrap(), "RUNNING");
    }

    #[test]
    fn json_escapes_as_go_does() {
        assert_eq!(apply("{{json .Ports}}").unwrap(), "\"1-\\u003e2\"");
    }

    /// As `docker inspect` has it.
    fn inspected() -> Value {
        json!({
            "Name": "/web",
            "State": {"Running": true, "ExitCode": 0, "Pid": 12},
            "Config": {
                "Env": ["A=1", "B=2"],
                "Entrypoint": null,
                "Labels": {"com.docker.compose.service": "web", "x": "y"},
            },
            "Mounts": [
                {"Type": "volume", "Name": "data", "Source": "/v", "Destination": "/data"},
                {"Type": "bind", "Source": "/src", "Destination": "/src"},
            ],
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/tcp": null},
                "Networks": {
                    "b_net": {"IPAddress": "10.0.0.3"},
                    "a_net": {"IPAddress": "10.0.0.2"},
                },
            },
        })
    }

    #[track_caller]
    fn assert_shows(template: &str, expected: &str) {
        let shown = Template::parse(template).and_then(|it| it.apply(&inspected()));
        assert_eq!(shown.as_deref(), Ok(expected), "{template}");
    }

    #[test]
    fn what_scripts_ask_of_inspect() {
        assert_shows(
            "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}",
            "10.0.0.2 10.0.0.3 ",
        );
        assert_shows(
            "{{range $name, $it := .NetworkSettings.Networks}}{{$name}}={{$it.IPAddress}};{{end}}",
            "a_net=10.0.0.2;b_net=10.0.0.3;",
        );
        assert_shows(
            r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
            "8080",
        );
        assert_shows(
            "{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{with $conf}}{{(index . 0).HostPort}}{{else}}none{{end}}\\n{{end}}",
            "80/tcp -> 8080\n90/tcp -> none\n",
        );
        assert_shows(
            r#"{{index .Config.Labels "com.docker.compose.service"}}|{{index .Config.Labels "no"}}|{{.Config.Labels.x}}|{{.Config.Labels.no}}"#,
            "web||y|<no value>",
        );
        assert_shows(
            r#"{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{else}}{{.Source}}{{end}}:{{.Destination}}{{println}}{{end}}"#,
            "data:/data\n/src:/src\n",
        );
        assert_shows("{{range .Mounts}}[{{.Name}}]{{end}}", "[data][]");
        assert_shows(
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
            "none",
        );
        assert_shows("{{if .State.Running}}up{{end}}", "up");
        assert_shows(
            "{{json .State}}",
            r#"{"Running":true,"ExitCode":0,"Pid":12}"#,
        );
        assert_shows("{{.Config.Env}} {{.Config.Entrypoint}}", "[A=1 B=2] []");
        assert_shows(
            "{{.Config.Labels}}",
            "map[com.docker.compose.service:web x:y]",
        );
        assert_shows(r#"{{join .Config.Env ", "}}"#, "A=1, B=2");
        assert_shows("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n");
        assert_shows(
            r#"{{slice .Name 1}} {{.Name | printf "%-6s|"}}"#,
            "web /web  |",
        );
    }

    #[test]
    fn the_language() {
        assert_shows("a {{- /* nothing */ -}} b", "ab");
        assert_shows("{{ 1 -}} b", "1b");
        assert_shows(
            "{{if eq .State.ExitCode 1}}one{{else if eq .State.ExitCode 2 0}}none{{else}}other{{end}}",
            "none",
        );
        assert_shows(
            "{{$x := 1}}{{range .Config.Env}}{{$x = .}}{{end}}{{$x}}",
            "B=2",
        );
        assert_shows(
            "{{range $i, $e := .Config.Env}}{{if $i}},{{end}}{{$e}}{{end}}",
            "A=1,B=2",
        );
        assert_shows("{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1");
        assert_shows(
            "{{range .Config.Env}}{{continue}}{{.}}{{else}}none{{end}}",
            "",
        );
        assert_shows("{{range 3}}{{.}}{{end}}", "012");
        assert_shows(
            "{{and .State.Running .State.Pid}} {{or .State.ExitCode .Name}} {{not .State.Running}}",
            "12 /web false",
        );
        assert_shows(
            "{{len .Mounts}} {{len .Name}} {{gt .State.Pid 3}}",
            "2 4 true",
        );
        assert_shows(
            r#"{{printf "%05d|%.2f|%q|%x|%v%%" 42 1.5 "a" 255 true}}"#,
            r#"00042|1.50|"a"|ff|true%"#,
        );
        assert_shows(
            r#"{{print 1 2 "a" 3}} {{title "a b"}} {{pad "x" 1 2}}|"#,
            "1 2a3 A B  x  |",
        );
        assert_shows(
            r#"{{with split "a:b" ":"}}{{index . 1}}{{end}} {{truncate "abcdef" 3}}"#,
            "b abc",
        );
        assert_shows("{{with $.Name}}{{.}} {{$.State.Pid}}{{end}}", "/web 12");
        assert_shows("{{`raw \"text\"`}}", "raw \"text\"");
    }

    #[test]
    fn an_unknown_field_or_function_is_an_error() {
        assert!(apply("{{.Nmae}}").unwrap_err().contains("Nmae"));
        assert!(apply("{{.Health.Statsu}}").unwrap_err().contains("Statsu"));
        for (template, told) in [
            ("{{range .X}}", "{{end}} is missing"),
            ("{{.X", "unclosed action"),
            ("{{end}}", "unexpected {{end}}"),
            ("{{if}}{{end}}", "missing value for if"),
            ("{{nope .X}}", "function \"nope\" not defined"),
            ("{{(.X}}", "unclosed left paren"),
            ("{{.X)}}", "right paren"),
            ("{{.X .Y}}", "non-function"),
            ("{{\"a}}", "unterminated"),
            ("{{break}}", "outside"),
            ("{{$a, $b := .X}}", "too many declarations"),
            ("{{template \"x\"}}", "not known here"),
            ("{{1x}}", "bad number"),
            ("{{if .X}}{{else}}{{else}}{{end}}", "found {{else}}"),
            ("{{.X ? }}", "unexpected '?'"),
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.starts_with("template parsing error: "), "{error}");
            assert!(error.contains(told), "{template}: {error}");
        }
        for (template, told) in [
            ("{{index .Name 1}}", "can't index"),
            ("{{lt .Name 1}}", "incompatible types"),
            ("{{$x}}", "undefined variable"),
            ("{{len 3}}", "len of 3"),
            ("{{not}}", "wrong arguments for not"),
            ("{{range true}}{{end}}", "can't iterate"),
        ] {
            let error = apply(template).unwrap_err();
            assert!(error.contains(told), "{template}: {error}");
        }
        let deep = format!("{}{}", "{{if 1}}".repeat(5000), "{{end}}".repeat(5000));
        assert!(Template::parse(&deep).unwrap_err().contains("nested"));
        let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
        assert!(Template::parse(&deep).unwrap_err().contains("nested"));
    }

    /// Fragments in any order, many of which make sense together.
    #[test]
    fn no_template_panics() {
        const FRAGMENTS: [&str; 52] = [
            "{{",
            "}}",
            "{{-",
            " -}}",
            "{{if ",
            "{{range ",
            "{{with ",
            "{{else}}",
            "{{end}}",
            "{{break}}",
            "{{/*",
            "*/}}",
            ".",
            ".Name",
            ".State.Pid",
            ".Mounts",
            ".Config.Env",
            ".Config.Labels",
            "$",
            "$x",
            " := ",
            " = ",
            " | ",
            "(",
            ")",
            ").A",
            "\"a\"",
            "\"",
            "`",
            "é",
            "index ",
            "slice ",
            "printf ",
            "print ",
            "len ",
            "eq ",
            "lt ",
            "and ",
            "or ",
            "not ",
            "json ",
            "join ",
            "split ",
            "truncate ",
            "pad ",
            "title ",
            "\"%05.2f%s\"",
            "\"%q%-3d%\"",
            " 1 ",
            " -1 ",
            " 99999999999999999999 ",
            ", ",
        ];
        let mut state = 1_u64;
        let mut applied = 0;
        for _ in 0..30_000 {
            let mut text = String::new();
            for _ in 0..8 {
                // An xorshift: any order will do, but the same each time.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = usize::try_from(state % FRAGMENTS.len() as u64).unwrap();
                text.push_str(FRAGMENTS[at]);
            }
            if let Ok(template) = Template::parse(&format!("{{{{{text}}}}}")) {
                applied += 1;
                let _may_fail = template.apply(&inspected());
                let _heading = heading(&template.0, &[]);
            }
        }
        assert!(applied > 100, "{applied}");
    }

    #[test]
    fn a_table_template_has_a_heading() {
        let table = |text: &str| match Format::parse(text).unwrap() {
            Format::TableOf(template) => {
                render(&template, Some(&[("Id", "CONTAINER ID")]), &[row()]).unwrap()
            }
            _ => panic!("not a table"),
        };
        assert_eq!(
            table(r"table {{.Name}}\t{{.State}}"),
            "NAME       STATE\napp-db-1   running\n"
        );
        assert_eq!(
            table(
                r#"table {{.Label "a"}}\t{{truncate .Name 3}}\t{{if .State}}{{upper .State}}{{end}}"#
            ),
            "A         NAME      STATE\nb         app       RUNNING\n"
        );
        let titles: Titles<'_> = &[("ID", "CONTAINER ID")];
        let names = ["ID", "CreatedAt", "IPv6", "Ports"];
        let parsed = |name: &&str| Template::parse(&format!("{{{{.{name}}}}}")).unwrap();
        let shown = names.iter().map(parsed).map(|it| heading(&it.0, titles));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            ["CONTAINER ID", "CREATED AT", "IPV6", "PORTS"]
        );
    }
}
