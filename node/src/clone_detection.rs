//! Noticing that a folder is a copy or was restored (docs/decisions/0004).
//!
//! At each start a file gets new random content, and the store notes that content with the file's place on this
//! disk and the time of its last change, which no copying tool can set. Whatever is laid back over the folder,
//! whole or in part, in place or anew, brings another content or another time.

use std::path::Path;

use anyhow::Context as _;
use sync::replica::{Replica, ReplicaError};
use sync::store::{Source as _, Store, Table};

use crate::folder::{Folder, random, write_private};

/// Note in the store: content and place of the file, as of the last start that came to its end.
const NOTED: &str = "identity";
/// Note in the store: the content that a start is about to write.
const STARTING: &str = "starting";

/// What the file and the store say of one another before a start.
pub struct Traces {
    noted: Option<String>,
    starting: Option<String>,
    found: Option<(String, String)>,
}

impl Traces {
    /// Reads both.
    pub fn read(folder: &Folder, store: &Store) -> anyhow::Result<Self> {
        let reading = store.read()?;
        let note = |name: &str| -> anyhow::Result<Option<String>> {
            let bytes = reading.get(Table::Meta, format!("note/{name}").as_bytes())?;
            Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
        };
        Ok(Self { noted: note(NOTED)?, starting: note(STARTING)?, found: found(&folder.started())? })
    }

    /// Whether the store is not where, or not what, it was at its last start.
    pub fn is_copy(&self) -> bool {
        let Some(noted) = &self.noted else {
            return false;
        };
        let Some((content, place)) = &self.found else {
            return true;
        };
        let same = *noted == format!("{content} {place}");
        // A start that was cut off after it wrote the file, and before it noted that.
        let cut_off = self.starting.as_ref() == Some(content) && !noted.starts_with(content.as_str());
        !same && !cut_off
    }
}

/// Leaves the traces of this start.
pub fn mark(folder: &Folder, replica: &mut Replica) -> anyhow::Result<()> {
    let content = data_encoding::HEXLOWER.encode(&random::<16>()?);
    let note = |replica: &mut Replica, name, text: &str| -> Result<(), ReplicaError> {
        replica.set_note(name, Some(text.as_bytes()))?;
        Ok(())
    };
    note(replica, STARTING, &content)?;
    write_private(&folder.started(), content.as_bytes())?;
    if let Some((content, place)) = found(&folder.started())? {
        note(replica, NOTED, &format!("{content} {place}"))?;
    }
    Ok(())
}

/// The file's content and place; `None` if it is not there.
fn found(path: &Path) -> anyhow::Result<Option<(String, String)>> {
    let look = || format!("cannot look at {}", path.display());
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(Some((content, place(&std::fs::metadata(path).with_context(look)?)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(look),
    }
}

#[cfg(unix)]
fn place(meta: &std::fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    format!("{}:{}:{}.{:09}", meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec())
}

/// Without inodes, the time at which the file was made here.
#[cfg(not(unix))]
fn place(meta: &std::fs::Metadata) -> String {
    let made = meta.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    made.map(|since| since.as_nanos().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Traces;

    #[test]
    fn another_place_or_another_content_is_a_copy_and_a_start_cut_off_is_none() {
        let traces = |noted: Option<&str>, starting: Option<&str>, found: Option<(&str, &str)>| Traces {
            noted: noted.map(str::to_owned),
            starting: starting.map(str::to_owned),
            found: found.map(|(content, place)| (content.to_owned(), place.to_owned())),
        };
        let cases = [
            (traces(None, None, None), false, "the first start"),
            (traces(Some("a 1"), Some("a"), Some(("a", "1"))), false, "the next start"),
            (traces(Some("a 1"), Some("b"), Some(("a", "1"))), false, "cut off before the file was written"),
            (traces(Some("a 1"), Some("b"), Some(("b", "2"))), false, "cut off before the file was noted"),
            (traces(Some("a 1"), Some("a"), Some(("a", "2"))), true, "the same content at another place or time"),
            (traces(Some("a 1"), Some("a"), Some(("b", "1"))), true, "a store of another day under today's file"),
            (traces(Some("a 1"), Some("a"), None), true, "the store alone was laid back"),
        ];
        for (traces, copy, why) in cases {
            assert_eq!(traces.is_copy(), copy, "{why}");
        }
    }
}
