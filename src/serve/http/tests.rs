//! Routes, their names and the document of the API say the same.

use super::*;
use std::collections::BTreeSet;

#[test]
fn the_document_describes_the_routes() {
    let document: serde_json::Value =
        serde_json::from_str(operations::OPENAPI).expect("the document is JSON");
    let described: BTreeSet<&str> =
        document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    // What only the pages use is for people.
    let machines = |name: &&str| {
        name.starts_with("/v1/")
            || ["/", "/livez", "/readyz", "/metrics", "/openapi.json"].contains(name)
    };
    let routed: BTreeSet<&str> =
        routes().iter().map(|(_, name, _)| *name).filter(machines).collect();
    assert_eq!(described, routed);
}

#[test]
fn the_words_of_the_document_are_those_of_the_code() {
    use crate::classify::{Advice, Category, Class, Reason};
    use crate::report::{Attribution, Kind};
    let document: serde_json::Value =
        serde_json::from_str(operations::OPENAPI).expect("the document is JSON");
    let words = |name: &str| -> Vec<String> {
        let list = &document["components"]["schemas"][name]["enum"];
        serde_json::from_value(list.clone()).unwrap_or_else(|_| panic!("{name} has no words"))
    };
    macro_rules! same {
        ($($set:ident),*) => {$(
            let code: Vec<&str> = $set::ALL.iter().map(|one| one.as_str()).collect();
            assert_eq!(words(stringify!($set)), code);
        )*};
    }
    same!(Kind, Category, Reason, Class, Advice, Attribution);
}

#[test]
fn every_answer_has_a_type() {
    let document: serde_json::Value =
        serde_json::from_str(operations::OPENAPI).expect("the document is JSON");
    let mut untyped = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            let typed = ["$ref", "anyOf", "properties"].iter().any(|key| answer.get(key).is_some());
            if !answer.is_null() && !typed && path != "/openapi.json" {
                untyped.push(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(untyped, Vec::<String>::new());
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
