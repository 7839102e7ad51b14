//! Return paths from outside: forged ones in bulk, and docs/verp.md taken at its word. Its
//! vectors, its table of plain forms and its recipes are read from the document and run.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bounced::mail::{Address, Timestamp};
use bounced::verp::{KeyRing, Mode, Token, plain};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

mod forge;

use forge::{CLASSES, Class, Forge};

const FORGED: usize = 200_000;
const GENUINE: usize = 20_000;
const RECIPE_LINES: usize = 20;

fn none_accepted(class: Class) {
    let mut forge = Forge::new(class as u64);
    for _ in 0..FORGED {
        let path = forge.forged(class);
        assert!(!forge.is_accepted(&path), "{class:?}: {path} was accepted");
    }
}

#[test]
fn no_random_token_is_accepted() {
    none_accepted(Class::Random);
}

#[test]
fn no_bit_flipped_token_is_accepted() {
    none_accepted(Class::BitFlipped);
}

#[test]
fn no_cut_token_is_accepted() {
    none_accepted(Class::Cut);
}

#[test]
fn no_expired_token_is_accepted() {
    none_accepted(Class::Expired);
}

#[test]
fn no_token_of_another_key_is_accepted() {
    none_accepted(Class::OtherKey);
}

#[test]
fn no_token_of_another_tenant_is_accepted() {
    none_accepted(Class::OtherTenant);
}

/// A forger whose tokens all fail at the first glance would prove nothing.
#[test]
fn forgers_are_good_at_it() {
    use bounced::verp::Reject::{BadSignature, Expired, Malformed, NotYetValid, UnknownKey};
    let mut forge = Forge::new(7);
    for class in CLASSES {
        let mut reached = [0; 3];
        for _ in 0..2000 {
            let path = forge.forged(class);
            match forge.verp.verify(&path, forge.now) {
                Err(BadSignature) => reached[0] += 1,
                Err(Expired | NotYetValid) => reached[1] += 1,
                Err(Malformed | UnknownKey) => reached[2] += 1,
                other => assert!(class == Class::Cut, "{class:?} {path} {other:?}"),
            }
        }
        let enough = match class {
            Class::Random => reached[0] >= 200,
            Class::BitFlipped | Class::OtherKey => reached[0] >= 1000,
            Class::OtherTenant => reached[0] == 2000,
            Class::Expired => reached[1] == 2000,
            Class::Cut => reached[0] + reached[2] >= 1900,
        };
        assert!(enough, "{class:?} {reached:?}");
    }
}

#[test]
fn every_genuine_token_is_accepted_in_any_case() {
    let mut forge = Forge::new(1);
    let mut modes = [0, 0];
    for _ in 0..GENUINE {
        let good = forge.genuine();
        assert!(forge.is_understood(&good), "{}", good.path);
        let mode = forge.verp.verify(&good.path, forge.now).map(|t| t.mode);
        modes[usize::from(mode == Ok(Mode::Full))] += 1;
    }
    assert!(modes.iter().all(|n| *n > GENUINE / 5), "{modes:?}");
}

/// docs/verp.md, as it lies in the tree.
fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verp.md");
    std::fs::read_to_string(path).expect("docs/verp.md")
}

/// The cells of the table that follows a header row, without their backquotes.
fn table(header: &str) -> Vec<Vec<String>> {
    let document = document();
    let (_, below) = document.split_once(header).expect("the table's header");
    let rows = below.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_start_matches("| ").trim_end_matches('|').to_string();
        row.split(" | ").map(|cell| cell.trim().trim_matches('`').to_string()).collect()
    };
    rows.map(cells).collect()
}

/// The fenced text below a heading.
fn recipe(heading: &str) -> String {
    let document = document();
    let (_, below) = document.split_once(&format!("\n### {heading}\n")).expect("the heading");
    let (_, fenced) = below.split_once("\n```").expect("a fence");
    let (text, _) = fenced.split_once("\n```").expect("its end");
    let text = text.split_once('\n').expect("an info string").1;
    assert!(text.lines().count() <= RECIPE_LINES, "{heading} has more than {RECIPE_LINES} lines");
    format!("{text}\n")
}

struct Vector {
    secret: Vec<u8>,
    recipient: String,
    tag: String,
    domain: String,
    day: i64,
    path: String,
}

fn vectors() -> Vec<Vector> {
    let secrets = table("| secret | hex |");
    let rows = table("| secret | recipient | tag | domain | day | return path |");
    let vector = |row: Vec<String>| {
        let secret = secrets.iter().find(|s| s[0] == row[0]).expect("the secret's row");
        Vector {
            secret: data_encoding::HEXLOWER.decode(secret[1].as_bytes()).expect("hex"),
            recipient: row[1].clone(),
            tag: row[2].clone(),
            domain: row[3].clone(),
            day: row[4].parse().expect("a day"),
            path: row[5].clone(),
        }
    };
    rows.into_iter().map(vector).collect()
}

fn ring(secret: &[u8]) -> KeyRing {
    let keys = vec![("a".to_string(), secret.to_vec())];
    KeyRing::new(keys, Duration::from_secs(30 * 86_400)).expect("a good key")
}

fn verified(ring: &KeyRing, path: &str, day: i64) -> Token {
    let (local, domain) = path.split_once('@').expect("an address");
    let now = Timestamp::default().plus_days(day);
    ring.verify(local, domain, now).unwrap_or_else(|reject| panic!("{path}: {reject}"))
}

#[test]
fn the_vectors_of_the_document_hold() {
    let vectors = vectors();
    assert!(vectors.len() >= 12, "{} vectors", vectors.len());
    for v in &vectors {
        let (ring, to) = (ring(&v.secret), Address::parse(&v.recipient).expect("an address"));
        let tag = Some(v.tag.as_str()).filter(|tag| !tag.is_empty());
        assert_eq!(ring.sign(&to, tag, &v.domain, v.day).as_ref(), Ok(&v.path));
        let token = verified(&ring, &v.path, v.day);
        assert_eq!((token.day, token.tag.as_deref()), (v.day, tag));
        assert!(token.matches(&ring, &to));
    }
}

#[test]
fn the_plain_forms_of_the_document_hold() {
    let rows = table("| local part | recipient | made by |");
    assert!(rows.len() >= 15, "{} rows", rows.len());
    for row in rows {
        let expected = Some(row[1].as_str()).filter(|r| *r != "none");
        let got = plain::decode(&row[0]);
        assert_eq!(got.as_ref().map(|v| v.recipient.as_str()), expected, "{}", row[0]);
    }
}

/// Runs a program with arguments and text for its input; None, said on stderr, when it is not
/// installed.
fn run(program: &str, args: &[&str], input: &str, path: Option<&Path>) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(first) = path {
        let rest = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{rest}", first.display()));
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("`{program}` is not installed, so its recipe of docs/verp.md was not run.");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    // A program that reads no input may be gone before we write.
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_string();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("written");
    assert!(output.status.success(), "{program} {args:?}: {}", output.status);
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// Writes files into a fresh directory.
fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).expect("written");
    }
    dir
}

/// Mints every vector with a recipe and compares; one of them for today too, which must verify
/// today.
fn recipe_mints(heading: &str, program: &str, name: &str, text: &str) {
    for (n, v) in vectors().into_iter().enumerate() {
        let secret = [v.secret.as_slice(), b"\n"].concat();
        let dir = directory(&[(name, text.as_bytes()), ("secret", &secret)]);
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (script, secret, day) = (at(name), at("secret"), v.day.to_string());
        let args = [script.as_str(), &secret, &v.recipient, &v.tag, &v.domain];
        let Some(minted) = run(program, &[&args[..], &[&day]].concat(), "", None) else { return };
        assert_eq!(minted, format!("{}\n", v.path), "{heading}");
        if n > 0 {
            continue;
        }
        let Some(minted) = run(program, &args, "", None) else { return };
        let today = Timestamp::now().day();
        let token = verified(&ring(&v.secret), minted.trim_end(), today);
        assert!((today - 1..=today).contains(&token.day), "{heading}: day {}", token.day);
    }
}

#[test]
fn the_shell_recipe_mints() {
    recipe_mints("Shell", "sh", "verp.sh", &recipe("Shell"));
}

#[test]
fn the_python_recipe_mints() {
    recipe_mints("Python", "python3", "verp.py", &recipe("Python"));
}

#[test]
fn the_php_recipe_mints() {
    recipe_mints("PHP", "php", "verp.php", &recipe("PHP"));
}

/// HMAC from openssl, so that Lua needs no library.
const LUA_HMAC: &str = r#"
local function sealed(key)
  local hex = key:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return function(text)
    local name = os.tmpname()
    local file = io.open(name, "wb"); file:write(text); file:close()
    local openssl = "openssl dgst -sha256 -mac HMAC -macopt hexkey:" .. hex .. " -binary " .. name
    local pipe = io.popen(openssl); local mac = pipe:read("a"); pipe:close(); os.remove(name)
    return mac
  end
end
"#;

#[test]
fn the_lua_recipe_mints() {
    let main = r#"
local key = io.open(arg[1]):read("a"):gsub("%s+$", "")
print(verp(sealed(key), arg[2], arg[3], arg[4], tonumber(arg[5])))
"#;
    let text = format!("{LUA_HMAC}{}{main}", recipe("Lua"));
    recipe_mints("Lua", "lua5.4", "verp.lua", &text);
}

/// KumoMTA itself is not here: its module is stood in for by what the hook uses of it.
#[test]
fn the_kumomta_hook_mints() {
    let hook = recipe("KumoMTA");
    assert!(hook.contains("/etc/bounced/verp.key"));
    let v = &vectors()[1];
    let dir = directory(&[("secret", &v.secret)]);
    let secret = dir.path().join("secret").display().to_string();
    let stand_in = r#"
package.loaded.kumo = {
  digest = { hmac_sha256 = function(key, text) return { bytes = sealed(key.key_data)(text) } end },
  on = function(event, hook) hooks = { [event] = hook } end,
}
"#;
    let message = r#"
hooks.smtp_server_message_received({
  recipient = function() return arg[1] end,
  get_first_named_header_value = function(_, name) return name == "X-Campaign" and arg[2] or nil end,
  set_sender = function(_, path) print(path) end,
})
"#;
    let hook = hook.replace("/etc/bounced/verp.key", &secret);
    let text = format!("{LUA_HMAC}{}{stand_in}{hook}{message}", recipe("Lua"));
    std::fs::write(dir.path().join("init.lua"), text).expect("written");
    let script = dir.path().join("init.lua").display().to_string();
    let Some(minted) = run("lua5.4", &[&script, &v.recipient, &v.tag], "", None) else { return };
    let ring = ring(&v.secret);
    let token = verified(&ring, minted.trim_end(), Timestamp::now().day());
    assert_eq!(token.tag.as_deref(), Some(v.tag.as_str()));
    assert!(token.matches(&ring, &Address::parse(&v.recipient).expect("an address")));
}

/// The copies go to a `sendmail` that writes down what it was called with.
#[test]
fn the_postfix_loop_mints() {
    let v = &vectors()[5];
    let sendmail = "#!/bin/sh\nprintf '%s ' \"$@\"; cat\n";
    let dir = directory(&[
        ("each.sh", recipe("Postfix").as_bytes()),
        ("verp.sh", recipe("Shell").as_bytes()),
        ("secret", &v.secret),
        ("message", b"Subject: news\n"),
        ("sendmail", sendmail.as_bytes()),
    ]);
    use std::os::unix::fs::PermissionsExt;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path().join("sendmail"), executable).expect("executable");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let script = format!("VERP={} KEY={} . {}", at("verp.sh"), at("secret"), at("each.sh"));
    let recipients = ["user@example.com", "first.last+tag@department.example.com"];
    let input = format!("{}\n", recipients.join("\n"));
    // `sh -c` gives the arguments that `sh each.sh` would.
    let args = ["-c", &script, "each.sh", &at("message"), &v.tag, &v.domain];
    let output = run("sh", &args, &input, Some(dir.path())).expect("sh");
    let calls: Vec<_> = output.lines().collect();
    assert_eq!(calls.len(), recipients.len(), "{output}");
    for (call, recipient) in calls.iter().zip(recipients) {
        let words: Vec<_> = call.split(' ').collect();
        assert_eq!((words[0], words[1], words[4]), ("-i", "-f", recipient), "{call}");
        assert!(call.ends_with("Subject: news"), "{call}");
        let ring = ring(&v.secret);
        let token = verified(&ring, words[2], Timestamp::now().day());
        assert!(token.matches(&ring, &Address::parse(recipient).expect("an address")));
    }
}

/// The Python recipe is a second implementation: both must mint the same for anything.
#[test]
fn python_and_rust_mint_the_same() {
    const CASES: usize = 3000;
    let driver = "import sys, verp\n\
        for line in sys.stdin:\n\
        \x20   secret, to, tag, domain, day = line.rstrip('\\n').split('\\t')\n\
        \x20   print(verp.verp(bytes.fromhex(secret), to, tag, domain, int(day)))\n";
    let dir = directory(&[("verp.py", recipe("Python").as_bytes()), ("d.py", driver.as_bytes())]);
    let cases = (
        proptest::collection::vec(any::<u8>(), 16..100),
        ("[a-zA-Z0-9.+=%_'/-]{1,64}", "[a-zA-Z0-9]{1,20}(\\.[a-z][a-z0-9]{0,20}){1,6}"),
        "[a-zA-Z0-9._-]{0,14}",
        "[a-zA-Z0-9]{1,20}(\\.[a-z]{2,10}){1,4}",
        0_i64..65_536,
    );
    let mut runner = TestRunner::deterministic();
    let (mut input, mut expected) = (String::new(), Vec::new());
    while expected.len() < CASES {
        let (secret, (local, host), tag, domain, day) =
            cases.new_tree(&mut runner).expect("a case").current();
        let Some(to) = Address::parse(&format!("{local}@{host}")) else { continue };
        let hex = data_encoding::HEXLOWER.encode(&secret);
        input.push_str(&format!("{hex}\t{local}@{host}\t{tag}\t{domain}\t{day}\n"));
        let ring = ring(&secret);
        let path = ring.sign(&to, Some(&tag), &domain, day).expect("mints");
        assert!(verified(&ring, &path, day).matches(&ring, &to));
        expected.push(path);
    }
    let script = dir.path().join("d.py").display().to_string();
    let Some(minted) = run("python3", &[&script], &input, None) else { return };
    assert_eq!(minted.lines().count(), CASES);
    for (line, (minted, expected)) in input.lines().zip(minted.lines().zip(&expected)) {
        assert_eq!(minted, expected, "{line}");
    }
}
