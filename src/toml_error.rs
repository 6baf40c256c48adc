//! What is wrong with a TOML file, in one line.

use toml::de::Error;

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
