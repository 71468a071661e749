//! Impact and urgency to priority, 3 x 3.

use super::field::Level;

/// The priority that impact and urgency give, 1 (highest) to 4; 5 is only set by hand.
/// HH 1; HM, MH 2; MM, HL, LH 3; the rest 4.
pub fn priority(impact: Level, urgency: Level) -> u8 {
    match (impact, urgency) {
        (Level::High, Level::High) => 1,
        (Level::High, Level::Medium) | (Level::Medium, Level::High) => 2,
        (Level::Medium, Level::Medium) | (Level::High, Level::Low) | (Level::Low, Level::High) => 3,
        (Level::Medium, Level::Low) | (Level::Low, Level::Medium | Level::Low) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_agreed() {
        use Level::{High, Low, Medium};
        let table = [(High, [1, 2, 3]), (Medium, [2, 3, 4]), (Low, [3, 4, 4])];
        for (impact, row) in table {
            let given = [High, Medium, Low].map(|urgency| priority(impact, urgency));
            assert_eq!(given, row, "the row of impact {impact:?}");
        }
    }
}
