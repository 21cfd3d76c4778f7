//! The OpenAPI documents in `docs/openapi/` are what the code serves, byte for byte.
//!
//! `OPENKCM_UPDATE=1 cargo nextest run -p openkcm openapi` writes them anew.

use std::path::PathBuf;

use openkcm_http::openapi_json;

#[test]
fn the_committed_documents_are_those_of_the_code() {
    let documents = [
        ("registry", openapi_json(&openkcm_registry::openapi())),
        ("cmk", openapi_json(&openkcm_cmk::openapi())),
        ("krypton", openapi_json(&openkcm_krypton::openapi())),
    ];
    for (component, document) in documents {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/openapi/{component}.json"));
        if std::env::var_os("OPENKCM_UPDATE").is_some() {
            std::fs::write(&path, &document).expect("the document is written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == document,
            "docs/openapi/{component}.json is not what the code serves; run with OPENKCM_UPDATE=1"
        );
    }
}
