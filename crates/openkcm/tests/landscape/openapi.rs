//! The OpenAPI documents in `docs/openapi/` are what the code serves, byte for byte.
//!
//! `OPENKCM_UPDATE=1 cargo nextest run -p openkcm openapi` writes them anew.

use std::path::PathBuf;

use openkcm_http::openapi_json;
use serde_json::Value;

/// The documents, by component.
fn documents() -> [(&'static str, String); 3] {
    [
        ("registry", openapi_json(&openkcm_registry::openapi())),
        ("cmk", openapi_json(&openkcm_cmk::openapi())),
        ("krypton", openapi_json(&openkcm_krypton::openapi())),
    ]
}

#[test]
fn every_list_says_how_it_pages() {
    let mut lists = 0;
    for (component, document) in documents() {
        let document: Value = serde_json::from_str(&document).expect("JSON");
        for (path, item) in document["paths"].as_object().expect("paths") {
            let answer = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
            if !answer.as_str().is_some_and(|schema| schema.contains("/Page_")) {
                continue;
            }
            lists += 1;
            for name in ["limit", "cursor"] {
                let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
                let has = parameters.into_iter().any(|parameter| parameter["name"] == name);
                assert!(has, "{component}: {path} does not say that it takes {name}");
            }
        }
    }
    assert!(lists > 5, "{lists} lists were found");
}

#[test]
fn the_committed_documents_are_those_of_the_code() {
    for (component, document) in documents() {
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
