//! The committed description is the code's. `make openapi` writes it.

use std::{fs, path::Path};

#[test]
fn matches_committed_openapi_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let current = event_service::openapi().to_pretty_json().expect("JSON") + "\n";
    #[allow(clippy::disallowed_methods, reason = "the tests have no configuration to read it by")]
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        fs::write(&path, &current).expect("written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "openapi.json is out of date: run this test with UPDATE_OPENAPI=1"
    );
}
