//! What a window sends and gets, in TypeScript. The test writes it where it differs and fails, so that what is
//! committed cannot drift from what is sent.

use std::path::Path;

use ts_rs::{Config, TS};

use super::{Request, View};

#[test]
fn the_committed_contract_is_what_is_sent() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui/src/backend/contract");
    let fresh = tempfile::tempdir().unwrap();
    let config = Config::new().with_out_dir(fresh.path());
    Request::export_all(&config).unwrap();
    View::export_all(&config).unwrap();
    let mut drifted = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir(fresh.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    names.sort();
    std::fs::create_dir_all(&committed).unwrap();
    for name in &names {
        let made = std::fs::read_to_string(fresh.path().join(name)).unwrap();
        let known = committed.join(name);
        if std::fs::read_to_string(&known).ok().as_deref() != Some(made.as_str()) {
            std::fs::write(&known, made).unwrap();
            drifted.push(name.clone());
        }
    }
    for file in std::fs::read_dir(&committed).unwrap() {
        let file = file.unwrap();
        if !names.contains(&file.file_name()) {
            std::fs::remove_file(file.path()).unwrap();
            drifted.push(file.file_name());
        }
    }
    assert!(drifted.is_empty(), "written anew, to be committed: {drifted:?}");
}
