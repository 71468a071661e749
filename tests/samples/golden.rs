//! Stored samples: the bytes of everything that is hashed, signed, stored or sent, in hexadecimal, one file each.
//!
//! A test makes the same value again and compares. A format that changes unseen fails here; one that is meant to
//! change is blessed with `cargo xtask bless`, and its page in `docs/formats/` with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Compares each named value with its file in `tests/samples/<folder>`; with `ARCHIPEL_BLESS` set, writes the files.
pub fn check(folder: &str, samples: &[(&str, Vec<u8>)]) {
    let samples_of_all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/samples");
    let path = samples_of_all.join(folder);
    if std::env::var_os("ARCHIPEL_BLESS").is_some() {
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the folder of samples can be made");
        for (name, bytes) in samples {
            fs::write(path.join(format!("{name}.hex")), shown(bytes)).expect("a sample can be written");
        }
        return;
    }
    let mut faults = Vec::new();
    for (name, bytes) in samples {
        match fs::read_to_string(path.join(format!("{name}.hex"))) {
            Ok(stored) if stored == shown(bytes) => {}
            Ok(_) => faults.push(format!("{name}: its bytes are no longer the stored ones")),
            Err(_) => faults.push(format!("{name}: there is no stored sample")),
        }
    }
    let named: BTreeSet<String> = samples.iter().map(|(name, _)| format!("{name}.hex")).collect();
    assert_eq!(named.len(), samples.len(), "each sample has a name of its own");
    let stored = fs::read_dir(&path).into_iter().flatten().flatten();
    let stored: BTreeSet<String> = stored.filter_map(|file| file.file_name().into_string().ok()).collect();
    faults.extend(stored.difference(&named).map(|file| format!("{file}: nothing makes this any more")));
    assert!(
        faults.is_empty(),
        "a format changed; if that is meant, change its page and run `cargo xtask bless`:\n  {}",
        faults.join("\n  ")
    );
}

fn shown(bytes: &[u8]) -> String {
    let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    lines.collect()
}
