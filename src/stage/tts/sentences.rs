//! Text into what is said in one breath.
//!
//! A sentence ends with its mark and what closes it, where white space follows or
//! the script has none; `3.5` and `example.org` don't end one, and neither do a
//! few abbreviations. A wrong guess costs a pause, no word.

/// Characters of one sentence: a long one is made in parts, so that its first
/// sound doesn't wait for all of it.
const LONGEST: usize = 300;
/// Shortened words after which a sentence goes on, in lower case.
const SHORT: [&str; 14] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "e.g", "i.e", "z.b", "bzw", "nr",
];

/// The sentences of `text`, in order, trimmed. What has no letter and no digit is
/// left out.
pub fn split(text: &str) -> Vec<String> {
    let mut sentences = Sentences::default();
    sentences.push(text);
    std::iter::from_fn(|| sentences.next().or_else(|| sentences.last())).collect()
}

/// The sentences of a text that comes by and by: the same, however it is cut up.
#[derive(Debug, Default)]
pub struct Sentences {
    /// What has come and was not given out.
    held: String,
}

impl Sentences {
    /// Takes more of the text.
    pub fn push(&mut self, text: &str) {
        self.held.push_str(text);
    }

    /// The next sentence that is whole whatever comes after it. `None`: more is to
    /// be pushed, or the [`Sentences::last`] asked for.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<String> {
        loop {
            let end = end(&self.held);
            // What closes it may still be coming.
            if end == self.held.len() {
                return None;
            }
            if let Some(sentence) = self.take(end) {
                return Some(sentence);
            }
        }
    }

    /// What is left as a sentence, once there will be no more text.
    pub fn last(&mut self) -> Option<String> {
        self.take(self.held.len())
    }

    /// Gives out the first `bytes`, if there is anything to say in them.
    fn take(&mut self, bytes: usize) -> Option<String> {
        let rest = self.held.split_off(bytes);
        let sentence = std::mem::replace(&mut self.held, rest);
        let words: Vec<_> = sentence.split_whitespace().collect();
        let speaks = sentence.chars().any(char::is_alphanumeric);
        speaks.then(|| words.join(" "))
    }
}

/// Bytes of the first sentence of `text`.
fn end(text: &str) -> usize {
    // Where a sentence that is too long may be broken: after a comma, else a word.
    let (mut pause, mut word) = (None, None);
    for (n, (at, letter)) in text.char_indices().enumerate() {
        let after = at + letter.len_utf8();
        if n >= LONGEST {
            return pause.or(word).unwrap_or(after);
        }
        let rest = &text[after..];
        let spaced = rest.is_empty() || rest.starts_with(char::is_whitespace);
        match letter {
            '。' | '！' | '？' => return after + closing(rest),
            '\n' if rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n') => return after,
            '.' | '!' | '?' | '…' => {
                let after = after + closing(rest);
                let ends =
                    text[after..].is_empty() || text[after..].starts_with(char::is_whitespace);
                if ends && !(letter == '.' && is_short(&text[..at])) {
                    return after;
                }
            }
            ',' | ';' | ':' if spaced => pause = Some(after),
            '，' | '、' | '；' | '：' => pause = Some(after),
            _ if letter.is_whitespace() => word = Some(after),
            _ => {}
        }
    }
    text.len()
}

/// Bytes of the marks and quotes that belong to the end before them.
fn closing(rest: &str) -> usize {
    let closes = |c: char| ".!?…\"'”’»)]。！？」』".contains(c);
    rest.len() - rest.trim_start_matches(closes).len()
}

/// Whether `before`, which a full stop follows, ends with a shortened word, or
/// with the initial of a name.
fn is_short(before: &str) -> bool {
    let word = before
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default();
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    initial || SHORT.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_where_they_end() {
        for (text, sentences) in [
            ("One. Two! Three?", vec!["One.", "Two!", "Three?"]),
            ("no mark", vec!["no mark"]),
            (
                "It costs 3.5 at example.org today.",
                vec!["It costs 3.5 at example.org today."],
            ),
            (
                "Dr. Smith met J. Doe. They spoke.",
                vec!["Dr. Smith met J. Doe.", "They spoke."],
            ),
            (
                "\"Stop!\" he said... Then?! Yes",
                vec!["\"Stop!\"", "he said...", "Then?!", "Yes"],
            ),
            ("你好。再见！ok", vec!["你好。", "再见！", "ok"]),
            (
                "A title\n\nA line\nthat goes on",
                vec!["A title", "A line that goes on"],
            ),
            ("It was I. You know.", vec!["It was I.", "You know."]),
            (" ... \n\n !? — ", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(split(text), sentences, "{text:?}");
        }
    }

    #[test]
    fn a_text_has_the_same_sentences_however_it_comes() {
        let text =
            "Hi, Dr. Who! It costs 3.5... \"Really?\" (Yes.) 你好。」再见！\n\nA title \n \nok. "
                .repeat(3)
                + &"word, ".repeat(90)
                + "and an end";
        let whole = split(&text);
        assert!(whole.len() > 20);
        for most in 1..12 {
            let (mut sentences, mut heard) = (Sentences::default(), Vec::new());
            let letters: Vec<_> = text.chars().collect();
            for piece in letters.chunks(most) {
                sentences.push(&piece.iter().collect::<String>());
                heard.extend(std::iter::from_fn(|| sentences.next()));
            }
            heard.extend(sentences.last());
            assert_eq!(heard, whole, "in pieces of {most}");
        }
    }

    #[test]
    fn long_sentences_are_made_in_parts_and_no_word_is_lost() {
        let words: Vec<_> = (0..400).map(|n| format!("word{n}")).collect();
        let text = words.join(" ").replace("word30 ", "word30, ");
        let parts = split(&text);
        assert!(parts[0].ends_with("word30,"), "{}", parts[0]);
        assert!(parts.iter().all(|part| part.chars().count() <= LONGEST + 1));
        assert_eq!(parts.join(" "), text);
        let unbroken = "ä".repeat(1_000);
        assert_eq!(split(&unbroken).concat(), unbroken);
    }
}
