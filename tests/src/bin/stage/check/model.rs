//! A reference model of conflicts, fed with the commands alone: it knows nothing of documents or records.
//!
//! For each field of a ticket: the value before the split, and the last value that each site wrote during it. A site
//! that writes what already stands there writes nothing. More than one distinct last value is a conflict.

use std::collections::{BTreeMap, BTreeSet};

/// A field of a ticket: the ticket's id and the name of the field.
pub type FieldKey = (String, String);

#[derive(Debug, Clone, Default)]
struct Field {
    /// The value before the split.
    before: String,
    /// The last value that each site wrote, by site code.
    written: BTreeMap<&'static str, String>,
}

/// The fields that were written during the split.
#[derive(Debug, Clone, Default)]
pub struct Model {
    fields: BTreeMap<FieldKey, Field>,
}

impl Model {
    /// `field` is set to `value` at `site`; `before` is its value at the time of the cut.
    /// `false`: that was its value already, and nothing is written.
    pub fn set(&mut self, site: &'static str, ticket: &str, field: &str, before: &str, value: &str) -> bool {
        let entry = self.fields.entry((ticket.to_owned(), field.to_owned())).or_default();
        if entry.before.is_empty() {
            entry.before = before.to_owned();
        }
        let current = entry.written.get(site).unwrap_or(&entry.before);
        if current == value {
            return false;
        }
        entry.written.insert(site, value.to_owned());
        true
    }

    /// Adds what another part of the model holds.
    pub fn merge(&mut self, other: Self) {
        for (key, field) in other.fields {
            let entry = self.fields.entry(key).or_insert_with(|| Field { before: field.before, ..Field::default() });
            entry.written.extend(field.written);
        }
    }

    /// The conflicts after the split: the distinct values of each field that has more than one.
    pub fn conflicts(&self) -> BTreeMap<FieldKey, BTreeSet<String>> {
        let distinct = |field: &Field| field.written.values().cloned().collect::<BTreeSet<String>>();
        let values = self.fields.iter().map(|(key, field)| (key.clone(), distinct(field)));
        values.filter(|(_, values)| values.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_and_unchanged_values_are_no_conflict() {
        let mut model = Model::default();
        assert!(model.set("PAR", "a", "impact", "medium", "high"), "a new value is written");
        assert!(!model.set("DAK", "a", "impact", "medium", "medium"), "what stands there is not written again");
        assert!(model.set("MTL", "a", "impact", "medium", "high"), "another site does not know of it");
        assert!(model.conflicts().is_empty(), "both wrote the same");
        assert!(model.set("DAK", "a", "impact", "medium", "low"), "a third value");
        assert_eq!(model.conflicts().len(), 1, "two distinct values are a conflict");
    }
}
