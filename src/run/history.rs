//! What a session remembers of its conversation: what was asked, and what was
//! really said to it. What an interrupt cut off was said to nobody.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::FRAME_PERIOD;
use crate::run::script::Interrupted;
use crate::stage::chat::{Message, Role};

/// How an answer ends of which not all was said.
const CUT: &str = "…";

/// Questions and answers, the newest last.
#[derive(Debug, Default)]
pub struct History {
    turns: VecDeque<Turn>,
    /// The number of the next turn.
    next: u64,
    /// The last utterance that was cut or dropped.
    silenced: u64,
}

#[derive(Debug)]
struct Turn {
    number: u64,
    question: String,
    said: Vec<Sentence>,
    /// Whether there is no more to say.
    over: bool,
    /// Whether something of it was silenced.
    cut: bool,
}

#[derive(Debug)]
struct Sentence {
    text: String,
    /// The utterance in which it ends, and where.
    utterance: u64,
    end: Duration,
}

impl History {
    /// Notes a question whose answer begins. Of those before it `most` are kept
    /// with it. Returns its number.
    pub(super) fn begin(&mut self, question: String, most: usize) -> u64 {
        self.next += 1;
        self.turns.push_back(Turn {
            number: self.next,
            question,
            said: Vec::new(),
            over: false,
            cut: false,
        });
        while self.turns.len() > most {
            self.turns.pop_front();
        }
        self.next
    }

    /// Notes that a sentence of the answer will have been said when `utterance` has
    /// been played for as long as `end`.
    pub(super) fn say(&mut self, number: u64, text: String, utterance: u64, end: Duration) {
        let silenced = utterance <= self.silenced;
        let Some(turn) = self.turn(number) else {
            return;
        };
        turn.cut |= silenced;
        if !silenced {
            turn.said.push(Sentence {
                text,
                utterance,
                end,
            });
        }
    }

    /// Notes that there is no more of an answer.
    pub(super) fn end(&mut self, number: u64) {
        if let Some(turn) = self.turn(number) {
            turn.over = true;
        }
    }

    /// Forgets what nobody heard.
    pub(super) fn cut(&mut self, interrupted: &Interrupted) {
        let Some(cut) = interrupted.utterance else {
            return;
        };
        // Positions are exact to a chunk.
        let played = Duration::from_millis(interrupted.played_ms) + FRAME_PERIOD;
        self.silenced = interrupted.dropped.last().copied().unwrap_or(cut);
        for turn in &mut self.turns {
            let before = turn.said.len();
            turn.said
                .retain(|s| s.utterance < cut || s.utterance == cut && s.end <= played);
            turn.cut |= turn.said.len() < before;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.turns.clear();
    }

    /// All of it, and `question`.
    pub(super) fn asking(&self, question: &str) -> Vec<Message> {
        let message = |role, content| Message { role, content };
        let mut all = Vec::with_capacity(2 * self.turns.len() + 1);
        for turn in &self.turns {
            let mut said: Vec<_> = turn.said.iter().map(|s| s.text.as_str()).collect();
            if turn.cut || !turn.over {
                // Never empty: many models want one answer a question.
                said.push(CUT);
            }
            all.push(message(Role::User, turn.question.clone()));
            all.push(message(Role::Assistant, said.join(" ")));
        }
        all.push(message(Role::User, question.to_owned()));
        all
    }

    fn turn(&mut self, number: u64) -> Option<&mut Turn> {
        self.turns.iter_mut().find(|turn| turn.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn contents(history: &History) -> Vec<String> {
        let asked = history.asking("now?");
        let roles = asked.iter().map(|message| message.role);
        let alternate = [Role::User, Role::Assistant].into_iter().cycle();
        assert!(
            roles.eq(alternate.take(asked.len())),
            "one answer a question"
        );
        asked.into_iter().map(|message| message.content).collect()
    }

    #[test]
    fn only_what_was_heard_was_said() {
        let mut history = History::default();
        let one = history.begin("one?".into(), 9);
        history.say(one, "First.".into(), 1, at(1_000));
        history.end(one);
        let two = history.begin("two?".into(), 9);
        history.say(two, "Heard.".into(), 2, at(1_000));
        history.say(two, "Cut.".into(), 2, at(3_000));
        history.say(two, "Dropped.".into(), 3, at(500));
        history.end(two);
        let whole = ["one?", "First.", "two?", "Heard. Cut. Dropped.", "now?"];
        assert_eq!(contents(&history), whole);
        history.cut(&Interrupted {
            interrupted: true,
            utterance: Some(2),
            played_ms: 2_000,
            dropped: vec![3],
        });
        // What was being made when it was cut comes too late.
        history.say(two, "Late.".into(), 3, at(900));
        assert_eq!(
            contents(&history),
            ["one?", "First.", "two?", "Heard. …", "now?"]
        );
        history.cut(&Interrupted::default());
        assert_eq!(contents(&history).len(), 5, "nothing was being said");
        history.clear();
        assert_eq!(contents(&history), ["now?"]);
    }

    #[test]
    fn what_was_played_to_a_chunk_counts_as_heard() {
        let mut history = History::default();
        let turn = history.begin("?".into(), 9);
        history.say(turn, "Heard.".into(), 7, at(1_010));
        history.cut(&Interrupted {
            interrupted: true,
            utterance: Some(7),
            played_ms: 1_000,
            dropped: vec![],
        });
        assert_eq!(contents(&history)[1], "Heard. …");
    }

    #[test]
    fn as_much_is_kept_as_is_wanted() {
        let mut history = History::default();
        for n in 0..5 {
            let turn = history.begin(format!("{n}?"), 2);
            history.say(turn, format!("{n}."), n + 1, at(1));
            history.end(turn);
        }
        assert_eq!(contents(&history), ["3?", "3.", "4?", "4.", "now?"]);
        let forgotten = history.begin("?".into(), 0);
        history.say(forgotten, "!".into(), 9, at(1));
        assert_eq!(contents(&history), ["now?"]);
    }
}
