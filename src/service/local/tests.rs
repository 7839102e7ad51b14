//! What only the whole service shows: which clock its parts go by.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::classify::RuleSet;
use crate::config::Config;
use crate::ledger::committer::CommitterOptions;
use crate::ledger::lock::lock;
use crate::ledger::{LedgerStatus, Page};
use crate::service::{Lookup, Operations, Service};
use crate::verp::Verp;

/// A ledger that is a journal of lines, and nothing else.
#[derive(Default)]
pub(super) struct Lines(pub(super) Mutex<Vec<String>>);

impl Ledger for Lines {
    fn commit(&self, _: &mut [Event]) -> Result<Vec<Committed>, LedgerError> {
        Ok(Vec::new())
    }
    fn prepare_with(&self, _: Arc<dyn crate::ledger::Prepare>) {}
    fn look_up(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        Ok(vec![None; keys.len()])
    }
    fn list(&self, _: &[u8], _: Option<&[u8]>, _: usize) -> Result<Page, LedgerError> {
        Ok(Page { rows: Vec::new(), next: None })
    }
    fn history(&self, _: &str, _: usize) -> Result<Vec<Event>, LedgerError> {
        Ok(Vec::new())
    }
    fn journal(&self, from: u64, limit: usize) -> Result<Vec<(u64, String)>, LedgerError> {
        let lines = lock(&self.0);
        let numbered = (1..).zip(lines.iter()).skip_while(|(seq, _)| *seq < from);
        Ok(numbered.take(limit).map(|(seq, line)| (seq, line.clone())).collect())
    }
    fn status(&self) -> LedgerStatus {
        let last_seq = lock(&self.0).len() as u64;
        LedgerStatus { last_seq, first_seq: 1, ..LedgerStatus::default() }
    }
    fn checkpoint(&self, _: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// A service over a real ledger in a folder, with the shipped rules, that keeps raw messages.
pub(super) fn real(dir: &std::path::Path) -> LocalService {
    let options = crate::ledger::store::Options::new(dir.join("data"));
    let fold = Box::new(policy::PolicyFold::new());
    let ledger = crate::ledger::store::SledLedger::open(options, fold).expect("it opens");
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let config = Config::default();
    let disk = Arc::new(RealDisk::new(dir).expect("a folder"));
    let journal =
        crate::config::JournalConfig { raw: crate::config::KeepRaw::All, ..config.journal.clone() };
    let options = CommitterOptions::default();
    LocalService::new(Parts {
        analyser: Analyser {
            verp: Arc::new(Verp::new(&config.verp, &[]).expect("no keys")),
            rules: Arc::new(RuleSet::load(None).expect("the shipped rules")),
            shadow: None,
        },
        committer: Committer::start(Arc::clone(&ledger), options, |_| {}).expect("a thread"),
        ledger,
        observer: Arc::new(Nobody),
        raw: RawStore::open(disk, &journal, Timestamp::now()).expect("a folder"),
        data_dir: dir.to_path_buf(),
        case: Case::default(),
        unscoped: Unscoped::Any,
        privacy: PrivacyKeys::default(),
    })
    .expect("made")
}

struct Nobody;

impl MessageObserver for Nobody {
    fn stored(&self, _: &MessageTally, _: &Committed) {}
    fn shadowed(&self, _: u64, _: u64) {}
}

#[test]
fn a_wall_clock_in_doubt_is_not_written_down() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    // The run before was in another boot, 400 days ago by the wall clock: a jump, as far as we know.
    let before = Timestamp::now().plus_days(-400);
    std::fs::write(dir.path().join("clock"), format!("{before} another-boot 10\n")).expect("room");
    let ledger = Arc::new(Lines::default());
    let disk = Arc::new(RealDisk::new(dir.path()).expect("a folder"));
    let config = Config::default();
    let options = CommitterOptions::default();
    let parts = Parts {
        analyser: Analyser {
            verp: Arc::new(Verp::new(&config.verp, &[]).expect("no keys")),
            rules: Arc::new(RuleSet::of_text("none", "").expect("no rules")),
            shadow: None,
        },
        ledger: ledger.clone(),
        committer: Committer::start(ledger.clone(), options, |_| {}).expect("a thread"),
        observer: Arc::new(Nobody),
        raw: RawStore::open(disk, &config.journal, Timestamp::now()).expect("a folder"),
        data_dir: dir.path().to_path_buf(),
        case: Case::default(),
        unscoped: Unscoped::Any,
        privacy: PrivacyKeys::default(),
    };
    let service = LocalService::new(parts).expect("made");
    service.shut_down().expect("settled");
    let clock = dir.path().join("clock");
    let mode = std::fs::metadata(&clock).expect("written down again").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner only");
    let line = std::fs::read_to_string(&clock).expect("readable");
    let at = line.split(' ').next().and_then(Timestamp::parse_rfc3339).expect("a time");
    assert!(at < before.plus_days(30), "{at} is the wall clock's, not ours");
}

#[test]
fn a_refused_key_leaves_the_blocks_of_erased_addresses_as_they_were() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let service = real(dir.path());
    let address = "gone@x.example";
    service.suppress(address, "*", "asked", None).expect("suppressed");
    service.erase(address).expect("erased");
    let is_blocked = || service.suppression(address, None).expect("an answer").is_some();
    assert!(is_blocked());
    let (key, away) = (dir.path().join("privacy.key"), dir.path().join("away"));
    std::fs::rename(&key, &away).expect("moved");
    for changed in [None, Some("another key\n")] {
        changed.into_iter().for_each(|text| std::fs::write(&key, text).expect("written"));
        let refused = service.replace_hash_key(None).expect_err("a key is missing");
        assert!(refused.to_string().contains("restore"), "{refused}");
        assert!(is_blocked(), "{changed:?}");
    }
    std::fs::rename(&away, &key).expect("moved back");
    service.replace_hash_key(None).expect("the key is there again");
    assert!(is_blocked());
    service.shut_down().expect("settled");
}

#[test]
fn an_address_is_found_in_every_spelling() {
    let spellings = [
        "user@exämple.se",
        "\"User\"@exämple.se",
        "\"us\\er\"@EXÄMPLE.se.",
        "user@exa\u{308}mple.se",
        "\"user\"@exa\u{308}mple\u{3002}se",
        "user@xn--exmple-cua.se",
    ];
    for stored in spellings {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let service = real(dir.path());
        service.suppress(stored, "*", "test", None).expect("stored");
        for asked in spellings {
            let lookup = service.lookup(asked, None).expect("answered");
            assert!(matches!(lookup, Lookup::Suppressed { .. }), "{stored} {asked}");
        }
        let checked = service.check(&spellings.map(str::to_string), None).expect("answered");
        assert_eq!(checked.hits.len(), spellings.len(), "{stored}");
        assert!(
            matches!(service.lookup("\"us er\"@exämple.se", None), Ok(Lookup::Clear)),
            "another one"
        );
        service.release("user@exämple.se", "*", "test").expect("released");
        assert!(matches!(service.lookup(stored, None), Ok(Lookup::Clear)), "{stored}");
        service.shut_down().expect("settled");
    }
}

#[test]
fn a_list_is_told_from_where_on_it_is_folded_differently() {
    let dir = tempfile::tempdir().expect("scratch");
    let service = real(dir.path());
    // The first version is what a journal that says nothing is folded as.
    service.fold_as(1).expect("nothing to say");
    assert_eq!(service.last_seq(), 0);
    // This release does not write what it cannot fold.
    let refused = service.fold_as(2).expect_err("there is no second one").to_string();
    assert!(refused.contains("version 2, this release folds up to 1"), "{refused}");
    assert_eq!(service.last_seq(), 0);
}
