//! Columns, as Docker aligns them.

use std::io::Write;

use tabwriter::TabWriter;

/// The narrowest column of a table, its gap of three included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `docker ps` and its like.
    Docker,
    /// Compose's own lists: `ls`, `images`.
    Compose,
}

/// Lines of text, each ending in a newline; the last column is not padded.
pub fn render(layout: Layout, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines: Vec<String> = Vec::with_capacity(rows.len() + 1);
    if !head.is_empty() {
        lines.push(head.join("\t"));
    }
    lines.extend(rows.iter().map(|row| row.join("\t")));
    align(layout, &lines)
}

/// Aligns lines whose cells are separated by tabs.
pub fn align(layout: Layout, lines: &[String]) -> String {
    const GAP: usize = 3;
    let narrowest = match layout {
        Layout::Docker => 10,
        Layout::Compose => 20,
    };
    let mut writer = TabWriter::new(Vec::new())
        .minwidth(narrowest - GAP)
        .padding(GAP);
    for line in lines {
        writer
            .write_all(format!("{line}\n").as_bytes())
            .expect("writing to memory cannot fail");
    }
    let bytes = writer.into_inner().expect("writing to memory cannot fail");
    String::from_utf8(bytes).expect("only text was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_three_more() {
        let rows = vec![
            vec![
                "app-db-1".to_owned(),
                "postgres:17".to_owned(),
                "Up".to_owned(),
            ],
            vec!["a".to_owned(), "b".to_owned(), String::new()],
        ];
        assert_eq!(
            render(Layout::Docker, &["NAME", "IMAGE", "STATUS"], &rows),
            "NAME       IMAGE         STATUS\n\
             app-db-1   postgres:17   Up\n\
             a          b             \n"
        );
    }

    #[test]
    fn composes_own_lists_have_wide_columns() {
        let rows = vec![vec!["app".to_owned(), "running(2)".to_owned()]];
        assert_eq!(
            render(Layout::Compose, &["NAME", "STATUS"], &rows),
            "NAME                STATUS\napp                 running(2)\n"
        );
    }
}
