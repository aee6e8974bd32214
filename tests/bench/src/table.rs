//! Results as text.

use std::fmt::Write as _;

use crate::{
    cpu::Usage,
    machine::Machine,
    report::{Bound, Figure, Row},
    stats::micros_each,
};

/// Describes the machine in one line.
pub(crate) fn machine(machine: &Machine) -> String {
    let Machine { cores, cpu, kernel, memory_gib, flush_us, postgres } = machine;
    format!(
        "{cores} cores ({cpu}), {memory_gib:.0} GiB, Linux {kernel}, PostgreSQL {postgres}, \
         8 KiB flushed in {flush_us:.0} µs"
    )
}

/// Table of the figures with their references.
pub(crate) fn figures(rows: &[Row]) -> String {
    let mut lines =
        vec![["", "measured", "1.0.0", "milestone", "goal", "bound"].map(str::to_owned)];
    for row in rows {
        lines.push([
            row.title.clone(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]);
        lines.extend(row.figures.iter().map(line));
    }
    let mut text = align(&lines);
    for row in rows {
        for note in &row.notes {
            let _ = writeln!(text, "{}: {note}", row.id);
        }
    }
    text
}

/// CPU time per item, by process.
pub(crate) fn cpu(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(usage) = &row.usage {
            let _ = writeln!(text, "{}: {}", row.id, shares(usage, row.items));
        }
    }
    text
}

fn shares(usage: &Usage, items: usize) -> String {
    let each = |seconds: f64| format!("{:.0}", micros_each(seconds, items));
    let mut parts: Vec<_> = usage
        .processes
        .iter()
        .map(|(name, seconds)| format!("{name} {}", each(*seconds)))
        .collect();
    let uses: Vec<_> = (usage.postgres_by_use.iter())
        .filter(|(_, seconds)| micros_each(**seconds, items) >= 1.0)
        .map(|(name, seconds)| format!("{name} {}", each(*seconds)))
        .collect();
    if !uses.is_empty() {
        parts.push(format!("postgres {} ({})", each(usage.postgres), uses.join(", ")));
    }
    parts.push(format!("other processes {}", each(usage.others)));
    parts.join(" · ")
}

fn line(figure: &Figure) -> [String; 6] {
    let reference = figure.reference;
    let bound = reference.bound.map(|bound| {
        let (sign, bound) = match bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        format!("{sign} {} {}", number(bound), if figure.is_met() { "met" } else { "NOT MET" })
    });
    [
        format!("  {}", figure.label),
        format!("{}{}", number(figure.value), unit(figure.unit)),
        reference.baseline.to_owned(),
        reference.milestone.to_owned(),
        reference.goal.to_owned(),
        bound.unwrap_or_default(),
    ]
}

fn unit(unit: &str) -> String {
    if unit.is_empty() || unit.starts_with('/') { unit.to_owned() } else { format!(" {unit}") }
}

/// Formats a number with thousands separators, and with decimals only where they matter.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == size.trunc() => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let digits = whole.trim_start_matches('-');
    let grouped = digits.char_indices().fold(String::new(), |mut all, (at, digit)| {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            all.push(',');
        }
        all.push(digit);
        all
    });
    let sign = if whole.starts_with('-') { "-" } else { "" };
    fraction.map_or(format!("{sign}{grouped}"), |fraction| format!("{sign}{grouped}.{fraction}"))
}

fn align(lines: &[[String; 6]]) -> String {
    // The title of a row has a line of its own and may be longer than its column.
    let cells = lines.iter().filter(|line| !line[1].is_empty());
    let widths = cells.fold([0; 6], |widths: [usize; 6], line| {
        std::array::from_fn(|at| widths[at].max(line[at].chars().count()))
    });
    let mut text = String::new();
    for line in lines {
        let [label, rest @ ..] = line;
        let mut row = format!("{label:<width$}", width = widths[0]);
        for (cell, width) in rest.iter().zip(&widths[1..]) {
            let _ = write!(row, "  {cell:>width$}");
        }
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_numbers_with_thousands() {
        assert_eq!(number(20_000.0), "20,000");
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(12.345), "12.3");
        assert_eq!(number(1.234), "1.23");
        assert_eq!(number(-0.5), "-0.50");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(624.0), "624");
    }

    #[test]
    fn shows_missed_bound() {
        let row = |value| {
            Row::new("burst", "burst")
                .figure(Figure::new("a", "a", value, "/s").bounded(Bound::AtLeast(5_000.0)))
        };
        assert!(figures(&[row(6_000.0)]).contains("≥ 5,000 met"));
        assert!(figures(&[row(4_000.0)]).contains("NOT MET"));
    }
}
