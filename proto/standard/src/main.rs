//! Reads `name TAB hexadecimal` lines and answers each with the broken rules, `path TAB rule`, joined by U+001F: the
//! Rust side of the comparison with the standard's own library. `refused` and `unknown` name messages without checks.

use std::io::{BufRead as _, Write as _};

fn main() -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, hex) = line.split_once('\t').unwrap_or((&line, ""));
        let bytes = hex
            .as_bytes()
            .chunks_exact(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Vec<_>>();
        if regard_standard::REFUSED
            .iter()
            .any(|(refused, _)| *refused == name)
        {
            writeln!(out, "refused")?;
            continue;
        }
        match regard_standard::check(name, &bytes) {
            None => writeln!(out, "unknown")?,
            Some(Err(_)) => writeln!(out, "malformed")?,
            Some(Ok(broken)) => {
                let broken = broken
                    .iter()
                    .map(|(path, rule)| format!("{path}\t{rule}"))
                    .collect::<Vec<_>>();
                writeln!(out, "ok\u{1f}{}", broken.join("\u{1f}").replace('\n', " "))?;
            }
        }
    }
    out.flush()
}
