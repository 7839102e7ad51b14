//! What each source file of the library uses of the others: a small reader of Rust that knows
//! comments, strings, test modules, `use` trees and paths. It is no compiler: it takes
//! `crate::a::b`, `super::a` and `child::f` for what they look like, and follows `pub use`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module as its path below the crate: `["policy", "fold", "step"]`.
pub type Module = Vec<String>;

/// The library's own files, without tests.
pub struct Sources {
    /// Path below `src/` and code: no comments, no literals, no test modules.
    pub files: BTreeMap<String, String>,
    modules: BTreeMap<Module, String>,
    reexports: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Sources {
    /// Reads all of `src/`.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        walk(&root, &root, &mut files);
        let modules: BTreeMap<Module, String> = files
            .keys()
            .filter(|file| !matches!(file.as_str(), "lib.rs" | "main.rs"))
            .map(|file| (module_of(file), file.clone()))
            .collect();
        let mut sources = Self { files, modules, reexports: BTreeMap::new() };
        for (module, file) in &sources.modules {
            let names = uses(&sources.files[file], true)
                .into_iter()
                .filter_map(|path| sources.absolute(&path, module))
                .filter_map(|path| Some((path.last()?.clone(), path)))
                .collect();
            sources.reexports.insert(module.clone(), names);
        }
        sources
    }

    /// Every module with the modules whose items it names.
    pub fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let one = |(module, file): (&Module, &String)| {
            let code = &self.files[file];
            let mut paths = uses(code, false);
            paths.extend(self.paths(&without_uses(code), module));
            let named = paths.iter().filter_map(|path| self.absolute(path, module));
            let found = named.filter_map(|path| self.resolve(&path, 0));
            (module.clone(), found.filter(|other| other != module).collect())
        };
        self.modules.iter().map(one).collect()
    }

    /// Paths in the code itself: `crate::..`, `super::..` and `child::..`.
    fn paths(&self, code: &str, module: &Module) -> Vec<String> {
        let children: BTreeSet<&str> = self
            .modules
            .keys()
            .filter(|other| other.len() == module.len() + 1 && other.starts_with(module))
            .filter_map(|other| other.last().map(String::as_str))
            .collect();
        let mut paths = Vec::new();
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in code.split(|c: char| !is_path(c)).filter(|word| word.contains("::")) {
            let first = word.split("::").next().unwrap_or_default();
            if matches!(first, "crate" | "super") || children.contains(first) {
                paths.push(word.trim_end_matches(':').to_string());
            }
        }
        paths
    }

    /// A path as it stands in a module, from the crate's root; None for other crates.
    fn absolute(&self, path: &str, module: &Module) -> Option<Module> {
        let mut segments =
            path.split("::").filter(|s| !s.is_empty()).map(str::to_string).peekable();
        let mut base = match segments.peek()?.as_str() {
            "crate" => {
                segments.next();
                return Some(segments.collect());
            }
            "super" | "self" => module.clone(),
            child => {
                let mut child_path = module.clone();
                child_path.push(child.to_string());
                self.modules.contains_key(&child_path).then(|| module.clone())?
            }
        };
        while let Some(up) = segments.next_if(|s| s == "super" || s == "self") {
            if up == "super" {
                base.pop();
            }
        }
        base.extend(segments);
        Some(base)
    }

    /// The module in which the named item stands, behind any `pub use`.
    fn resolve(&self, path: &Module, depth: usize) -> Option<Module> {
        let length = (1..=path.len()).rev().find(|n| self.modules.contains_key(&path[..*n]))?;
        let module = path[..length].to_vec();
        let behind = path.get(length).and_then(|name| self.reexports.get(&module)?.get(name));
        match behind {
            Some(elsewhere) if depth < 8 => {
                let mut elsewhere = elsewhere.clone();
                elsewhere.extend_from_slice(&path[length + 1..]);
                self.resolve(&elsewhere, depth + 1)
            }
            _ => Some(module),
        }
    }
}

fn walk(dir: &Path, root: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, root, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).expect("below it").display().to_string();
            if !is_test_file(&name) {
                into.insert(name, code(&fs::read_to_string(&path).expect("text")));
            }
        }
    }
}

fn is_test_file(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.ends_with("tests.rs") || name.contains("/tests/") || file == "simulated.rs"
}

fn module_of(file: &str) -> Module {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_string).collect()
}

/// The text with comments, literals and test modules blanked; lines keep their numbers.
fn code(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            'r' if rest.starts_with("r#\"") => rest.find("\"#").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\''") || rest.starts_with("'\\\\'") => 4,
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        let lines = rest[..taken].matches('\n').count();
        out.push_str(if c == '/' { "" } else { "\"\"" });
        out.extend(std::iter::repeat_n('\n', lines));
        rest = &rest[taken..];
    }
    without_tests(out)
}

/// Length of the string literal at the start.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Blanks every item under `#[cfg(test)]`, wherever it stands.
fn without_tests(mut text: String) -> String {
    while let Some(start) = text.find("#[cfg(test)]") {
        let (mut depth, mut end) = (0usize, text.len());
        for (at, c) in text[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = start + at + 1;
                break;
            }
        }
        let lines = "\n".repeat(text[start..end].matches('\n').count());
        text.replace_range(start..end, &lines);
    }
    text
}

/// Each `use` with its place; `public`: those that hand names on.
fn use_items(code: &str, public: bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = code[..at].rfind('\n').map_or(0, |n| n + 1);
        let before = code[line..at].trim();
        // `pub enum Cause` is none.
        let is_public = before == "pub" || (before.starts_with("pub(") && before.ends_with(')'));
        if (before.is_empty() || is_public) && is_public == public {
            let end = code[at..].find(';').map_or(code.len(), |n| at + n);
            found.push((at + "use ".len(), end));
        }
    }
    found
}

fn uses(code: &str, public: bool) -> Vec<String> {
    let mut paths = Vec::new();
    for (from, to) in use_items(code, public) {
        expand("", &code[from..to], &mut paths);
    }
    paths
}

fn without_uses(code: &str) -> String {
    let mut rest = code.to_string();
    let mut items = use_items(code, true);
    items.extend(use_items(code, false));
    items.sort_unstable();
    for (from, to) in items.into_iter().rev() {
        rest.replace_range(from..to, "");
    }
    rest
}

/// `a::{b, c::{self, d}}` as `a::b`, `a::c`, `a::c::d`.
fn expand(before: &str, tree: &str, into: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim();
        let path = format!("{before}{name}");
        into.push(path.trim_end_matches("::self").to_string());
        return;
    };
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let (mut depth, mut start) = (0usize, 0);
    let before = format!("{before}{head}");
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&before, &inner[start..at], into);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        expand(&before, &inner[start..], into);
    }
}
