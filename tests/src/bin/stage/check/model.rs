//! A plain model of values to settle, fed with the commands alone: it knows nothing of documents or records.
//!
//! For each field of a ticket: the value before the split, and the last value that each site wrote during it. A site
//! that writes what already stands there writes nothing. More than one distinct last value: values to settle.

use std::collections::{BTreeMap, BTreeSet};

/// A ticket's id and a field.
pub type Place = (String, String);

#[derive(Debug, Clone, Default)]
struct Field {
    before: String,
    /// By site: the last value.
    written: BTreeMap<&'static str, String>,
}

/// What the commands of the split say.
#[derive(Debug, Clone, Default)]
pub struct Model {
    fields: BTreeMap<Place, Field>,
}

impl Model {
    /// Somebody at `site` sets `field`; `before` is its value at the time of the cut.
    /// `false`: it stood there already, and nothing is written.
    pub fn set(&mut self, site: &'static str, ticket: &str, field: &str, before: &str, value: &str) -> bool {
        let entry = self.fields.entry((ticket.to_owned(), field.to_owned())).or_default();
        if entry.before.is_empty() {
            entry.before = before.to_owned();
        }
        let standing = entry.written.get(site).unwrap_or(&entry.before);
        if standing == value {
            return false;
        }
        entry.written.insert(site, value.to_owned());
        true
    }

    /// Takes what another part of the model was told.
    pub fn merge(&mut self, other: Self) {
        for (place, field) in other.fields {
            let entry = self.fields.entry(place).or_insert_with(|| Field { before: field.before, ..Field::default() });
            entry.written.extend(field.written);
        }
    }

    /// Where values are to settle after the split, and which.
    pub fn open(&self) -> BTreeMap<Place, BTreeSet<String>> {
        let distinct = |field: &Field| field.written.values().cloned().collect::<BTreeSet<String>>();
        let open = self.fields.iter().map(|(place, field)| (place.clone(), distinct(field)));
        open.filter(|(_, values)| values.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_and_values_of_before_are_nothing_to_settle() {
        let mut model = Model::default();
        assert!(model.set("PAR", "a", "impact", "medium", "high"), "a new value is written");
        assert!(!model.set("DAK", "a", "impact", "medium", "medium"), "what stands there is not written again");
        assert!(model.set("MTL", "a", "impact", "medium", "high"), "another site does not know of it");
        assert!(model.open().is_empty(), "both wrote the same");
        assert!(model.set("DAK", "a", "impact", "medium", "low"), "a third value");
        assert_eq!(model.open().len(), 1, "two distinct values wait to be settled");
    }
}
