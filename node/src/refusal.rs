//! What the command line, an invitation, an import and a configuration answer to bad input.
//!
//! A [`Refusal`] says what is safe, what happened, what to do, and a code that never changes its meaning; the
//! codes stand in [`codes`] alone, and `docs/errors.md` explains each. The HTTP side shows the same refusals as
//! `problem+json`. A refusal's detail may quote what was given, so it never quotes passwords, tokens or invitations.

pub mod codes;

use std::fmt;

pub use codes::Code;

/// Letters of one line of detail: what was given may be long.
const MAX_DETAIL_CHARS: usize = 300;
/// Lines of detail.
const MAX_DETAIL_LINES: usize = 12;

/// Why something was not done.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The code and its words.
    pub code: &'static Code,
    /// What exactly, if there is more to say than the words do.
    pub detail: Option<String>,
}

impl Refusal {
    /// A refusal that needs no detail.
    pub fn new(code: &'static Code) -> Self {
        Self { code, detail: None }
    }
    /// A refusal with what exactly is wrong.
    pub fn with(code: &'static Code, detail: impl fmt::Display) -> Self {
        Self { code, detail: Some(detail.to_string()) }
    }
    /// What `error` refuses; a fault of the site if it is no refusal.
    pub fn of(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(refusal) => refusal,
            Err(error) => Self::with(&codes::SITE_FAULT, format!("{error:#}")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Code { word, safe, happened, todo } = self.code;
        f.write_str(&shown([safe, happened, todo], word, self.detail.as_deref()))
    }
}

impl std::error::Error for Refusal {}

/// The one shape: words and code on the first line, detail indented below. What steers a terminal is left out,
/// since a detail may come from a file or from another site.
pub fn shown<const N: usize>(words: [&str; N], code: &str, detail: Option<&str>) -> String {
    let mut text = format!("{} [{code}]", words.join(" "));
    let lines = detail.unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
    for line in lines.take(MAX_DETAIL_LINES) {
        let plain = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        text.push_str("\n  ");
        text.extend(plain.take(MAX_DETAIL_CHARS));
    }
    text
}

/// Gives what failed its code.
pub trait OrRefuse<T> {
    /// Errors: a refusal with this code, and the cause as its detail; a cause that is a refusal stays what it is.
    fn or_refuse(self, code: &'static Code) -> Result<T, Refusal>;
}

impl<T, E: Into<anyhow::Error>> OrRefuse<T> for Result<T, E> {
    fn or_refuse(self, code: &'static Code) -> Result<T, Refusal> {
        self.map_err(|error| match error.into().downcast::<Refusal>() {
            Ok(refusal) => refusal,
            Err(error) => Refusal::with(code, format!("{error:#}")),
        })
    }
}

impl<T> OrRefuse<T> for Option<T> {
    fn or_refuse(self, code: &'static Code) -> Result<T, Refusal> {
        self.ok_or_else(|| Refusal::new(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_from_elsewhere_neither_steers_the_terminal_nor_fills_it() {
        let text =
            shown(["a.", "b.", "c."], "CODE", Some(&format!("\u{1b}[2J{}\n\n{}", "x".repeat(999), "y\n".repeat(99))));
        assert!(text.starts_with("a. b. c. [CODE]\n  "), "the words come first");
        assert!(!text.contains('\u{1b}'), "an escape would be obeyed by the terminal");
        assert!(text.lines().count() <= 1 + MAX_DETAIL_LINES && text.lines().all(|line| line.len() < 310));
    }

    #[test]
    fn codes_are_unique_and_say_all_three_things() {
        let mut words: Vec<&str> = codes::ALL.iter().map(|code| code.word).collect();
        words.sort_unstable();
        let count = words.len();
        words.dedup();
        assert_eq!(words.len(), count, "a code means one thing");
        for Code { word, safe, happened, todo } in codes::ALL {
            let whole = [safe, happened, todo].iter().all(|text| text.ends_with('.'));
            assert!(whole, "{word}: safe, happened and to do are sentences");
        }
    }
}
