//! TOML files: what is wrong with one, in a line, and one laid over another.

use toml::de::Error;
use toml::{Table, Value};

/// The line of `text` where `error` is, and what is wrong there.
pub fn one_line(text: &str, error: &Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or_default();
            format!("line {}: {message}", before.matches('\n').count() + 1)
        }
        None => message,
    }
}

/// Lays `change` over `into`, key by key and section by section.
pub fn merge(into: &mut Table, change: Table) {
    for (key, value) in change {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(change)) => merge(into, change),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_and_the_fault_are_named() {
        let text = "a = 1\nb = \n";
        let error = text.parse::<toml::Table>().expect_err("no value");
        let line = one_line(text, &error);
        assert!(
            line.starts_with("line 2: ") && line.lines().count() == 1,
            "{line}"
        );
    }
}
