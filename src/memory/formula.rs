//! The memory formula: what is fixed, term by term, and what caches may have.

use std::fmt;

use super::Level;

/// A part of the process's memory that is there as long as it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whose it is.
    pub name: String,
    /// How much, in bytes.
    pub bytes: u64,
}

/// How the budget is split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formula {
    /// The budget in bytes.
    pub budget: u64,
    /// What is fixed.
    pub terms: Vec<Term>,
}

/// What is fixed is more than the budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory.budget_mb is {}, but {formula}: set it to {} or more, or take a smaller avatar or model, or fewer media.max_viewers",
    formula.budget >> 20,
    (formula.fixed() >> 20) + 1
)]
pub struct TooLittle {
    formula: Formula,
}

impl Formula {
    /// A budget of which nothing is taken.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            terms: Vec::new(),
        }
    }

    /// With one more term.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, bytes: u64) -> Self {
        let name = name.into();
        self.terms.push(Term { name, bytes });
        self
    }

    /// The sum of what is fixed, in bytes.
    pub fn fixed(&self) -> u64 {
        self.terms.iter().map(|term| term.bytes).sum()
    }

    /// What caches may have, in bytes: what is left below the level at which
    /// they would begin to shrink.
    pub fn caches(&self) -> u64 {
        Level::Light
            .begins_at(self.budget)
            .saturating_sub(self.fixed())
    }

    /// Refuses a budget that what is fixed doesn't fit in.
    ///
    /// # Errors
    ///
    /// The sum, each term by its name, and a budget that would do.
    pub fn check(&self) -> Result<(), TooLittle> {
        if self.fixed() <= self.budget {
            return Ok(());
        }
        Err(TooLittle {
            formula: self.clone(),
        })
    }
}

/// The sum, written out in megabytes.
impl fmt::Display for Formula {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        for (n, term) in self.terms.iter().enumerate() {
            let plus = if n == 0 { "" } else { " + " };
            write!(to, "{plus}{} {:.1}", term.name, mb(term.bytes))?;
        }
        write!(to, " = {:.1} MB are fixed", mb(self.fixed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(budget_mb: u64) -> Formula {
        Formula::new(budget_mb << 20)
            .with("program", 40 << 20)
            .with("model x", (30 << 20) + (1 << 19))
    }

    #[test]
    fn caches_have_what_is_left_below_the_light_level() {
        assert_eq!(formula(200).caches(), (140 << 20) - formula(200).fixed());
        assert_eq!(formula(100).caches(), 0);
    }

    #[test]
    fn a_budget_that_is_too_small_is_refused_with_the_sum() {
        assert_eq!(formula(71).check(), Ok(()));
        let error = formula(70).check().expect_err("half a megabyte lacks");
        let said = error.to_string();
        assert!(
            said.starts_with(
                "memory.budget_mb is 70, but program 40.0 + model x 30.5 = 70.5 MB are fixed: set it to 71 or more"
            ),
            "{said}"
        );
    }
}
