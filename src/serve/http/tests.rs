//! Routes, their names and the document of the API say the same.

use super::*;
use std::collections::BTreeSet;

#[test]
fn the_document_describes_the_routes() {
    let document: serde_json::Value =
        serde_json::from_str(operations::OPENAPI).expect("the document is JSON");
    let described: BTreeSet<&str> =
        document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    // What only the page uses is for people.
    let page =
        ["/address", "/address/release", "/suppressions", "/health", "/style.css", "/icon.svg"];
    let routed: BTreeSet<&str> =
        routes().iter().map(|(_, name, _)| *name).filter(|name| !page.contains(name)).collect();
    assert_eq!(described, routed);
}

#[test]
fn the_licence_is_that_of_the_package() {
    let document: serde_json::Value =
        serde_json::from_str(operations::OPENAPI).expect("the document is JSON");
    assert_eq!(document["info"]["license"]["identifier"], env!("CARGO_PKG_LICENSE"));
    let text = include_str!("../../../LICENSE");
    assert!(text.starts_with(&format!("{} License", env!("CARGO_PKG_LICENSE"))));
}

#[test]
fn references_of_the_document_lead_somewhere() {
    fn references<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Object(object) => {
                found.extend(object.get("$ref").and_then(serde_json::Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            serde_json::Value::Array(list) => {
                list.iter().for_each(|value| references(value, found));
            }
            _ => {}
        }
    }
    let document: serde_json::Value =
        serde_json::from_str(operations::OPENAPI).expect("the document is JSON");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
