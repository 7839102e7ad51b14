//! What if, rules on trial, and forgetting a person, with the real binary.

mod service;

use std::path::Path;

use service::*;

fn bounce(service: &Service, user: &str, words: &str) {
    let message = report(user, "5.1.1", words);
    let verp = user.replace('@', "=");
    deliver(service.smtp, &format!("bounces+{verp}@bounce.example.test"), &message);
}

/// What a file says: a packed segment of the journal need not hold a text in one piece.
fn unpacked(octets: Vec<u8>) -> Vec<u8> {
    let Some(mut rest) = octets.strip_prefix(b"BNCPACK1") else { return octets };
    let mut lines = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>()
        && let Some(block) = after.get(4..4 + u32::from_le_bytes(*length) as usize)
        && let Ok(block_lines) = lz4_flex::block::decompress_size_prepended(block)
    {
        lines.extend_from_slice(&block_lines);
        rest = &after[4 + block.len()..];
    }
    assert!(lines.ends_with(b"\n"), "a packed segment holds lines");
    lines
}

/// Files below a folder that hold a text, in any case.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
            continue;
        }
        // The service runs: a file may go between the two looks.
        let octets = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            read => unpacked(read.expect("readable")).to_ascii_lowercase(),
        };
        if octets.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_policy_is_tried_beside_the_running_service() {
    let mut service = Service::new("");
    service.start();
    for n in 0..30 {
        bounce(&service, &format!("user{n}@example.com"), "550 5.1.1 user unknown");
    }
    let file = service.dir.path().join("lenient.toml");
    std::fs::write(&file, "[policy.reasons.user-unknown]\neffect = \"never\"\n").expect("written");
    let file = file.display().to_string();
    let (code, out, err) = service.run(&["replay", "--policy", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("30 would be released\n") && out.contains("and 10 more"), "{out}");
    let (_, out, _) = service.run(&["replay", "--policy", &file, "--json"]);
    assert_eq!(out.matches("\"what\":\"released\"").count(), 30, "{out}");
    // Nothing was changed, and it cannot be by this way.
    let entry = service.json("/v1/suppressions/user3@example.com");
    assert_eq!(entry["state"], "suppressed");
    let args = ["replay", "--policy", &file, "--apply", "--reason", "x"];
    let (code, _, err) = service.run(&args);
    assert!(code == 2 && err.contains("write it into [policy] there"), "{err}");
    for (text, wrong) in [
        ("[smtp]\n", "has no [policy] table"),
        ("[policy]\nstrikes = -1\n", "[policy]"),
        ("[policy\n", "lenient.toml"),
    ] {
        std::fs::write(&file, text).expect("written");
        let (code, _, err) = service.run(&["replay", "--policy", &file]);
        assert!(code == 2 && err.contains(wrong), "{err}");
    }
}

#[test]
fn rules_on_trial_only_count() {
    let rules = tempfile::tempdir().expect("a scratch folder");
    let file = rules.path().join("10-trial.toml");
    let rule = "[[rule]]\nid = \"trial\"\nwhen = { text = \"user unknown\" }\n\
                reason = \"mailbox-full\"\nseen = [\"550 user unknown\"]\n";
    std::fs::write(&file, rule).expect("written");
    let mut service = Service::new(&format!(
        "[rules]\ndir = \"\"\nshadow_dir = \"{}\"\n",
        rules.path().display()
    ));
    service.start();
    bounce(&service, "user@example.com", "550 5.1.1 <user@example.com>: user unknown");
    bounce(&service, "full@example.com", "552 5.2.2 <full@example.com>: mailbox full");
    assert_eq!(service.json("/v1/suppressions/user@example.com")["reason"], "user-unknown");
    let table = service.json("/v1/shadow");
    assert_eq!((&table["same"], &table["different"]), (&1.into(), &1.into()), "{table}");
    let (code, out, err) = service.run(&["replay", "--shadow"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("-> mailbox-full (trial)") && !out.contains("user@example.com"), "{out}");
    assert!(out.ends_with("1 verdicts are the same, 1 differ\n"), "{out}");
    let (_, metrics) = service.get("/metrics").expect("it answers");
    assert!(
        metrics.contains("bounced_shadow_verdicts_total{verdict=\"different\"} 1"),
        "{metrics}"
    );
    // A bad set is refused before anything is bound.
    std::fs::write(&file, "[[rule]]\n").expect("written");
    let (code, out, _) = service.run(&["check-config"]);
    assert!(code == 2 && out.contains("10-trial.toml"), "{out}");
}

#[test]
fn a_forgotten_person_is_nowhere_and_stays_blocked() {
    const PERSON: &str = "jane.roe@example.com";
    let mut service = Service::new("[journal]\nraw = \"all\"\n");
    service.start();
    bounce(&service, PERSON, "550 5.1.1 <Jane.Roe@Example.COM>: User unknown");
    bounce(&service, "john@example.com", "550 5.1.1 <john@example.com>: User unknown");
    let (code, _, err) =
        service.run(&["suppress", PERSON, "--reason", "asked by jane.roe@example.com"]);
    assert_eq!(code, 0, "{err}");
    let data = service.dir.path().join("data");
    assert!(!holding(&data, PERSON).is_empty());
    let (code, out, err) = service.run(&["erase", "Jane.Roe@example.com"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("records") && !out.contains("jane"), "{out}");
    for text in [PERSON, "jane.roe", "/jane.roe"] {
        assert_eq!(holding(&data, text), Vec::<String>::new(), "{text}");
    }
    // The block is found by whoever asks for the address, and only the block.
    assert_eq!(service.json("/v1/suppressions/jane.roe@example.com")["state"], "suppressed");
    let explained = service.json("/v1/addresses/Jane.Roe@example.com");
    assert_eq!(explained["events"], serde_json::json!([]), "{explained}");
    assert_eq!(explained["policy"]["evidence"].as_array().map(Vec::len), Some(1), "{explained}");
    assert_eq!(service.json("/v1/suppressions/john@example.com")["state"], "suppressed");
    let seqs: Vec<u64> = service.events().iter().filter_map(|e| e["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "positions stay");
    // A rebuild from what is left says the same.
    service.stop("-TERM");
    assert_eq!(holding(&data, PERSON), Vec::<String>::new());
    std::fs::remove_dir_all(data.join("view")).expect("disposable");
    std::fs::remove_dir_all(data.join("checkpoint")).expect("the journal is whole");
    service.start();
    assert_eq!(holding(&data, PERSON), Vec::<String>::new());
    assert_eq!(service.json("/v1/suppressions/jane.roe@example.com")["state"], "suppressed");
    // New evidence works, and finds the block.
    bounce(&service, PERSON, "452 4.2.2 <jane.roe@example.com>: mailbox full");
    let explained = service.json("/v1/addresses/jane.roe@example.com");
    assert_eq!(explained["events"].as_array().map(Vec::len), Some(1), "{explained}");
    assert_eq!(explained["state"], "suppressed", "{explained}");
    // Twice is once, also without a service: then the command does it itself.
    service.stop("-TERM");
    let (code, _, err) = service.run(&["erase", PERSON]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(holding(&data, PERSON), Vec::<String>::new());
    let (code, _, _) = service.run(&["lookup", PERSON]);
    assert_eq!(code, 0);
}

#[test]
fn an_erasure_that_was_cut_off_is_finished_at_the_next_start() {
    let mut service = Service::new("");
    service.start();
    bounce(&service, "jane.roe@example.com", "550 5.1.1 <jane.roe@example.com>: User unknown");
    service.stop("-KILL");
    let data = service.dir.path().join("data");
    std::fs::write(data.join("erasing"), "jane.roe@example.com").expect("written");
    service.start();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while data.join("erasing").exists() {
        assert!(std::time::Instant::now() < end, "not finished within a minute");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(holding(&data, "jane.roe@example.com"), Vec::<String>::new());
    assert_eq!(service.json("/v1/suppressions/jane.roe@example.com")["state"], "suppressed");
}

/// `privacy.addresses = "hashed"`: whoever knows an address finds it, the data directory names nobody.
/// Blocks of erased addresses are found by their key alone, so a start without it is refused.
#[test]
fn a_key_that_is_missing_refuses_the_start() {
    const PERSON: &str = "jane.roe@example.com";
    let mut service = Service::new("");
    service.start();
    bounce(&service, PERSON, "550 5.1.1 user unknown");
    assert_eq!(service.run(&["erase", PERSON]).0, 0);
    assert_eq!(service.stop("-TERM"), Some(0));
    let data = service.dir.path().join("data");
    let key = std::fs::read(data.join("privacy.key")).expect("made at the first erasure");
    for other in [None, Some("00112233445566778899aabbccddeeff\n")] {
        match other {
            None => std::fs::remove_file(data.join("privacy.key")).expect("there"),
            Some(text) => std::fs::write(data.join("privacy.key"), text).expect("writable"),
        }
        let (code, _, err) = service.run(&["serve"]);
        assert_ne!(code, 0, "{other:?}");
        assert!(err.contains("restore") && err.contains("privacy.key"), "{other:?}: {err}");
        assert!(!err.contains(PERSON), "{err}");
        let sentence =
            "addresses were erased under a key that is missing or was changed (fingerprint ";
        let (code, out, _) = service.run(&["doctor", "--offline"]);
        let failed =
            out.lines().any(|line| line.starts_with("FAIL keys") && line.contains(sentence));
        assert!(code == 2 && failed, "{other:?}: {out}");
        let (code, out, _) = service.run(&["check-config"]);
        assert!(code == 2 && out.starts_with(sentence), "{other:?}: {out}");
        // Without a checkpoint the records say it.
        let (kept, away) = (data.join("checkpoint"), service.dir.path().join("away"));
        std::fs::rename(&kept, &away).expect("an erasure writes one");
        assert!(service.run(&["doctor", "--offline"]).1.contains(sentence), "{other:?}");
        std::fs::rename(&away, &kept).expect("writable");
        let (code, out, err) = service.run(&["verify"]);
        assert!(code == 1 && out.contains(sentence), "{other:?}: {out}{err}");
        let backup = service.dir.path().join("backup");
        let (code, out, err) = service.run(&["backup", backup.to_str().expect("a scratch path")]);
        assert!(code == 0 && err.contains("WARN: addresses were erased"), "{other:?}: {out}{err}");
    }
    // Given up by a person, who writes down which one.
    let (_, _, err) = service.run(&["serve"]);
    let (_, rest) = err.split_once("(fingerprint ").expect("it is named");
    let (fingerprint, _) = rest.split_once(')').expect("it is named");
    std::fs::write(data.join("lost-keys"), format!("{fingerprint}\n")).expect("writable");
    service.start();
    assert_eq!(service.stop("-TERM"), Some(0));
    // Brought back, everything is as it was.
    std::fs::remove_file(data.join("lost-keys")).expect("there");
    std::fs::write(data.join("privacy.key"), key).expect("writable");
    let (_, out, _) = service.run(&["doctor", "--offline"]);
    assert!(out.lines().any(|line| line.starts_with("OK   keys")), "{out}");
    service.start();
    let answer = service.json(&format!("/v1/suppressions/{PERSON}"));
    assert_eq!(answer["state"], "suppressed", "the block is found again: {answer}");
}

#[test]
fn hashed_addresses_are_found_and_stand_nowhere() {
    const PERSON: &str = "jane.roe@example.com";
    let key = tempfile::NamedTempFile::new().expect("a scratch file");
    std::fs::write(key.path(), "0123456789abcdef0123456789abcdef\n").expect("written");
    let mut service = Service::new(&format!(
        "[journal]\nraw = \"none\"\n[privacy]\naddresses = \"hashed\"\nhash_key_file = \"{}\"\n",
        key.path().display()
    ));
    service.start();
    bounce(&service, PERSON, "550 5.1.1 <Jane.Roe@Example.COM>: User unknown");
    let (code, out, err) =
        service.run(&["suppress", "jane.doe@example.net", "--reason", "like jane.roe@example.com"]);
    assert!(code == 0 && out.contains("jane.doe@example.net"), "{out}{err}");
    let sent = r#"{"outcome":"failed","address":"jane.poe@example.com","message_id":"<1@example.com>","reply":"550 5.1.1 <jane.poe@example.com> unknown"}"#;
    let (status, body) = service.request("POST /v1/events", sent.as_bytes()).expect("it answers");
    assert_eq!(status, 200, "{body}");
    for restart in [false, true] {
        if restart {
            assert_eq!(service.stop("-TERM"), Some(0));
            service.start();
        }
        let data = service.dir.path().join("data");
        for text in ["jane", "roe@", "poe", "doe"] {
            assert_eq!(holding(&data, text), Vec::<String>::new(), "{text}");
        }
        let people = ["Jane.Roe@example.com", "jane.doe@example.net", "jane.poe@example.com"];
        for person in people {
            let entry = service.json(&format!("/v1/suppressions/{person}"));
            assert_eq!(entry["address"], person.to_lowercase(), "{entry}");
        }
        let asked = serde_json::json!({"addresses": people}).to_string();
        let hits = service.request("POST /v1/suppressions:check", asked.as_bytes());
        let (_, hits) = hits.expect("it answers");
        assert!(people.iter().all(|person| hits.contains(&person.to_lowercase())), "{hits}");
        let explained = service.json("/v1/addresses/jane.roe@example.com").to_string();
        assert!(explained.contains("<jane.roe@example.com>: User unknown"), "{explained}");
        assert!(!explained.contains("jane.doe"), "{explained}");
        // A list shows names; a name is found, too, and belongs to its domain.
        let list = service.json("/v1/suppressions?domain=example.com");
        let name = list["entries"][0]["address"].as_str().expect("a name").to_string();
        assert!(name.starts_with("h-") && name.ends_with("@example.com"), "{list}");
        assert_eq!(service.json(&format!("/v1/suppressions/{name}"))["state"], "suppressed");
    }
    // The same reply told again is the same event.
    let before = service.events().len();
    assert_eq!(service.request("POST /v1/events", sent.as_bytes()).expect("it answers").0, 200);
    assert_eq!(service.events().len(), before);
    let (code, _, err) = service.run(&["erase", PERSON]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(service.json("/v1/suppressions/jane.roe@example.com")["state"], "suppressed");
    assert_eq!(service.stop("-TERM"), Some(0));
    // Another key, or none, would find nobody.
    std::fs::write(key.path(), "fedcba9876543210fedcba9876543210\n").expect("written");
    let (code, _, err) = service.run(&["lookup", PERSON]);
    assert!(code == 2 && err.contains("holds another key"), "{err}");
}

/// `policy.local_part_case = "keep"`: two mailboxes, told apart by every question, for good.
#[test]
fn local_parts_may_be_told_apart_by_case() {
    let mut service = Service::new("[policy]\nlocal_part_case = \"keep\"\n");
    service.start();
    bounce(&service, "User@example.com", "550 5.1.1 <User@example.com>: User unknown");
    for restart in [false, true] {
        if restart {
            assert_eq!(service.stop("-TERM"), Some(0));
            // From the journal alone, too.
            std::fs::remove_dir_all(service.dir.path().join("data/view")).expect("removed");
            service.start();
        }
        let entry = service.json("/v1/suppressions/User@EXAMPLE.com");
        assert_eq!(entry["address"], "User@example.com");
        let other = service.get("/v1/suppressions/user@example.com").expect("it answers");
        assert_eq!(other.0, 404, "{}", other.1);
        let asked = br#"{"addresses":["User@example.com","user@example.com"]}"#;
        let hits = service.request("POST /v1/suppressions:check", asked).expect("it answers").1;
        assert_eq!(hits.matches("\"address\"").count(), 1, "{hits}");
        let explained = service.json("/v1/addresses/User@example.com");
        assert_eq!(explained["events"].as_array().map(Vec::len), Some(1), "{explained}");
        let nobody = service.json("/v1/addresses/user@example.com");
        assert_eq!(nobody["events"].as_array().map(Vec::len), Some(0), "{nobody}");
    }
    assert_eq!(service.run(&["suppress", "user@example.com", "--reason", "asked"]).0, 0);
    assert_eq!(service.run(&["release", "User@example.com", "--reason", "back"]).0, 0);
    assert_eq!(service.run(&["lookup", "user@example.com"]).0, 0);
    assert_eq!(service.run(&["lookup", "User@example.com"]).0, 1);
    assert_eq!(service.stop("-TERM"), Some(0));
    // The other way would find half of what is stored.
    let text = std::fs::read_to_string(service.config()).expect("ours");
    let folded = text.replace("\"keep\"", "\"fold\"");
    std::fs::write(service.config(), folded).expect("written");
    let (code, _, err) = service.run(&["lookup", "user@example.com"]);
    assert!(code == 2 && err.contains("policy.local_part_case is not the one"), "{err}");
    let key = service.dir.path().join("secret");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").expect("written");
    let keys = format!("{text}[[verp.keys]]\nid = \"a\"\nsecret_file = \"{}\"\n", key.display());
    std::fs::write(service.config(), keys).expect("written");
    let (code, out, _) = service.run(&["check-config"]);
    assert!(code == 2 && out.contains("does not go with signing keys"), "{out}");
}

/// Each question once more where a mailbox has a neighbour that differs in case alone: nothing that
/// is done to one reaches the other, and nothing of it stays behind.
#[test]
fn what_is_done_to_one_case_leaves_the_other_alone() {
    let mut service =
        Service::new("[policy]\nlocal_part_case = \"keep\"\n[journal]\nraw = \"all\"\n");
    service.start();
    for user in ["Jane.Roe@example.com", "jane.roe@example.com"] {
        bounce(&service, user, &format!("550 5.1.1 <{user}>: User unknown"));
    }
    // One mail to both, refused in the same words.
    for user in ["John@example.com", "john@example.com"] {
        let sent = format!(
            r#"{{"outcome":"failed","address":"{user}","message_id":"<1@example.com>","reply":"550 5.1.1 unknown"}}"#
        );
        let (status, body) =
            service.request("POST /v1/events", sent.as_bytes()).expect("it answers");
        assert_eq!(status, 200, "{body}");
        assert_eq!(service.json(&format!("/v1/suppressions/{user}"))["state"], "suppressed");
    }
    let explained = service.json("/v1/addresses/John@example.com");
    assert!(explained["summary"].as_str().is_some_and(|s| s.starts_with("John@")), "{explained}");
    let (code, _, err) = service.run(&["erase", "Jane.Roe@example.com"]);
    assert_eq!(code, 0, "{err}");
    let holds = |service: &Service| {
        service.events().iter().any(|e| e.to_string().contains("Jane.Roe@example.com"))
    };
    for restart in [false, true] {
        if restart {
            assert_eq!(service.stop("-TERM"), Some(0));
            for part in ["view", "checkpoint"] {
                std::fs::remove_dir_all(service.dir.path().join("data").join(part)).expect("there");
            }
            service.start();
        }
        assert!(!holds(&service), "the erased one stands in the journal");
        for user in ["Jane.Roe@example.com", "jane.roe@example.com"] {
            let entry = service.json(&format!("/v1/suppressions/{user}"));
            assert_eq!(entry["state"], "suppressed", "{entry}");
        }
        let other = service.json("/v1/addresses/jane.roe@example.com");
        assert_eq!(other["events"].as_array().map(Vec::len), Some(1), "{other}");
    }
}

/// The case is chosen once: by start-up, by a rebuild, by reload and by a trial.
#[test]
fn another_case_is_refused_wherever_it_comes_from() {
    let mut service = Service::new("[policy]\nlocal_part_case = \"fold\"\n");
    service.start();
    let text = std::fs::read_to_string(service.config()).expect("ours");
    let keep = text.replace("\"fold\"", "\"keep\"");
    // No data yet, and still the running service is one of folded addresses.
    std::fs::write(service.config(), &keep).expect("written");
    service.signal("-HUP");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (_, metrics) = service.get("/metrics").expect("it answers");
        if metrics.contains("bounced_config_reload_success 0") {
            break;
        }
        assert!(std::time::Instant::now() < end, "not refused: {metrics}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    bounce(&service, "User@example.com", "550 5.1.1 <User@example.com>: User unknown");
    assert_eq!(service.json("/v1/suppressions/user@example.com")["state"], "suppressed");
    let file = service.dir.path().join("tried.toml");
    std::fs::write(&file, "[policy]\nlocal_part_case = \"keep\"\n").expect("written");
    std::fs::write(service.config(), &text).expect("written");
    let (code, _, err) = service.run(&["replay", "--policy", &file.display().to_string()]);
    assert!(code == 2 && err.contains("local_part_case"), "{err}");
    assert_eq!(service.stop("-TERM"), Some(0));
    std::fs::write(service.config(), &keep).expect("written");
    for rebuild in [false, true] {
        if rebuild {
            let data = service.dir.path().join("data");
            std::fs::remove_dir_all(data.join("view")).expect("there");
            // A short life ends without a checkpoint.
            let _ = std::fs::remove_dir_all(data.join("checkpoint"));
        }
        let (code, _, err) = service.run(&["serve"]);
        assert!(code == 2 && err.contains("policy.local_part_case is not the one"), "{err}");
    }
}
