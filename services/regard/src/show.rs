//! Output for people: tables and progress. Programs get JSON from the commands themselves.

use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A plain table; columns named in `right` are aligned to the right.
#[must_use]
pub fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(header.iter().copied());
    for &index in right {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Prints a table without blanks at the ends of lines.
///
/// # Errors
/// The output is closed.
pub fn print(out: &mut impl Write, table: &Table) -> io::Result<()> {
    table
        .lines()
        .try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

/// A number to `digits` significant digits, without an exponent where it stays readable.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs().log10().floor();
    if !(-5.0..15.0).contains(&size) {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    // Within -5..15.
    let whole = size as i32;
    let places = i32::try_from(digits).unwrap_or(6) - 1 - whole;
    format!("{value:.*}", usize::try_from(places.max(0)).unwrap_or(0))
}

/// A number, or a dash where there is none.
#[must_use]
pub fn maybe(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| number(v, digits))
}

/// A bar over `bytes`, drawn only on a terminal.
#[must_use]
pub fn bytes_bar(bytes: u64, what: &str) -> ProgressBar {
    bar(
        bytes,
        what,
        "{msg:12} {wide_bar} {bytes}/{total_bytes} {eta}",
    )
}

/// A bar over `count` things, drawn only on a terminal.
#[must_use]
pub fn count_bar(count: u64, what: &str) -> ProgressBar {
    bar(
        count,
        what,
        "{msg:12} {wide_bar} {human_pos}/{human_len} {eta}",
    )
}

fn bar(length: u64, what: &str, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_message(what.to_owned())
}
