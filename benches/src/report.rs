//! The figures: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// What is measured, in the order of the table.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
}

#[derive(Debug)]
struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    /// What the kernel alone takes.
    floor: Option<f64>,
    goal: Option<Goal>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Less than this, in the figure's unit.
    Below(f64),
    /// And at most this many times the floor.
    BelowAndRatio(f64, f64),
}

impl Goal {
    fn is_met(self, figure: &Figure) -> bool {
        match self {
            Self::Below(most) => figure.value < most,
            Self::BelowAndRatio(most, ratio) => {
                figure.value < most && figure.ratio().is_none_or(|own| own <= ratio)
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::Below(most) => format!("< {most}"),
            Self::BelowAndRatio(most, ratio) => format!("< {most}, <= {ratio}x"),
        }
    }
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.floor
            .filter(|floor| *floor > 0.0)
            .map(|floor| self.value / floor)
    }
}

impl Report {
    /// Adds a figure: the medians of what was measured.
    pub fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        values: &[f64],
        floors: &[f64],
        goal: Option<Goal>,
    ) {
        self.figures.push(Figure {
            name: name.to_owned(),
            unit,
            value: median(values).unwrap_or(f64::NAN),
            floor: median(floors),
            goal,
        });
    }

    /// Plain columns.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<18} {:>9} {:>9} {:>7}  {:<4} goal\n",
            "", "value", "floor", "ratio", "unit"
        );
        for figure in &self.figures {
            let number = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
            };
            let digits = if matches!(figure.unit, "MiB" | "x") {
                3
            } else {
                1
            };
            let goal = figure.goal.map_or_else(String::new, |goal| {
                let verdict = if goal.is_met(figure) { "met" } else { "MISSED" };
                format!("{} {verdict}", goal.text())
            });
            let line = format!(
                "{:<18} {:>9} {:>9} {:>7}  {:<4} {goal}",
                figure.name,
                number(Some(figure.value), digits),
                number(figure.floor, digits),
                number(figure.ratio(), 2),
                figure.unit,
            );
            // Writing to a string can't fail.
            let _written = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// An object from name to `{value, unit, floor, ratio, goal}`; figures that were not measured
    /// this time are kept from an earlier one.
    pub fn json(&self, earlier: &str) -> String {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let figures = self.figures.iter().map(|figure| {
            let value = json!({
                "value": rounded(figure.value),
                "unit": figure.unit,
                "floor": figure.floor.map(rounded),
                "ratio": figure.ratio().map(rounded),
                "goal": figure.goal.map(Goal::text),
            });
            (figure.name.clone(), value)
        });
        let mut all: Map<String, Value> = serde_json::from_str(earlier).unwrap_or_default();
        all.extend(figures);
        format!("{:#}\n", Value::Object(all))
    }
}

/// The middle one; of an even number the lower.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_may_bound_the_ratio_too() {
        let mut report = Report::default();
        let goal = Goal::BelowAndRatio(150.0, 3.0);
        report.add("near", "ms", &[90.0, 100.0, 400.0], &[40.0], Some(goal));
        report.add("far", "ms", &[100.0], &[30.0], Some(goal));
        let table = report.table();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].ends_with("< 150, <= 3x met"), "{}", lines[1]);
        assert!(lines[2].ends_with("< 150, <= 3x MISSED"), "{}", lines[2]);
    }

    #[test]
    fn json_has_a_null_where_there_is_no_floor() {
        let mut report = Report::default();
        report.add("one", "MiB", &[0.25], &[], None);
        let earlier = r#"{"one": {"value": 3}, "two": {"value": 2}}"#;
        let value: Value = report.json(earlier).parse().unwrap_or_default();
        assert_eq!(
            value["one"],
            json!({"value": 0.25, "unit": "MiB", "floor": null, "ratio": null, "goal": null})
        );
        assert_eq!(value["two"], json!({"value": 2}));
    }
}
