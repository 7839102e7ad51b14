//! Folders and streams of a small data directory, and what spoils them.

use std::fs;
use std::path::Path;

use super::*;

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("below dir")).expect("a folder");
    fs::write(path, text).expect("writable");
}

/// A data directory with one of everything.
fn data_dir(at: &Path) {
    for (path, text) in [
        ("journal/00000000000000000001.journal", "one\n"),
        ("journal/00000000000000000002.journal", "two\n"),
        ("journal/00000000000000000003.begun", "unfinished"),
        ("checkpoint/00000000000000000001.checkpoint", "rows"),
        ("privacy.key", "secret"),
        ("clock", "now"),
        ("lock", "4711"),
        ("view/1/db", "made anew"),
        ("raw/e1.eml", "Subject: x"),
    ] {
        write(at, path, text);
    }
}

/// Paths and octets below a folder, in order.
fn all(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let found = listed(dir).expect("readable");
    found.iter().map(|f| (f.path.clone(), fs::read(dir.join(&f.path)).expect("there"))).collect()
}

const COPIED: [&str; 6] = [
    "checkpoint/00000000000000000001.checkpoint",
    "clock",
    "journal/00000000000000000001.journal",
    "journal/00000000000000000002.journal",
    "privacy.key",
    "raw/e1.eml",
];

#[test]
fn what_is_put_back_is_what_was_there() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    data_dir(&data);
    let manifest = into_folder(&data, &copy).expect("copied");
    let paths: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, COPIED);
    assert_eq!(verify(&copy).expect("readable"), (manifest.clone(), Vec::new()));
    let mut stream = Vec::new();
    into_stream(&data, &mut stream).expect("copied");
    for name in ["from-folder", "from-stream"] {
        let back = dir.path().join(name);
        if name == "from-folder" {
            from_folder(&copy, &back).expect("put back");
        } else {
            from_stream(&mut stream.as_slice(), &back).expect("put back");
        }
        assert_eq!(all(&back), all(&data), "{name}");
        assert!(!is_cut_off(&back));
        assert!(crate::ledger::private::open_to_others(&back).expect("readable").is_empty());
        let again = from_folder(&copy, &back).expect_err("not empty").to_string();
        assert!(again.contains("is not empty"), "{again}");
    }
}

#[test]
fn a_later_backup_takes_what_changed_and_drops_what_is_gone() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    data_dir(&data);
    let first = into_folder(&data, &copy).expect("copied");
    let of = |manifest: &Manifest, path: &str| {
        let file = manifest.files.iter().find(|file| file.path == path).cloned();
        copy.join("files").join(file.expect("it is in the backup").sha256)
    };
    let kept = of(&first, "journal/00000000000000000001.journal");
    let raw = of(&first, "raw/e1.eml");
    let before = fs::metadata(&kept).expect("there").ino();
    write(&data, "journal/00000000000000000002.journal", "two\nand more\n");
    fs::remove_file(data.join("raw/e1.eml")).expect("there");
    let manifest = into_folder(&data, &copy).expect("copied");
    assert_eq!(manifest.files.len(), COPIED.len() - 1);
    assert_eq!(fs::metadata(&kept).expect("there").ino(), before, "not written again");
    assert!(!raw.exists(), "what was erased is gone here as well");
    let back = dir.path().join("back");
    from_folder(&copy, &back).expect("put back");
    assert_eq!(all(&back), all(&data));
}

#[test]
fn what_is_spoilt_is_named_and_never_put_back() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    data_dir(&data);
    let manifest = into_folder(&data, &copy).expect("copied");
    let mut stream = Vec::new();
    into_stream(&data, &mut stream).expect("copied");
    for file in &manifest.files {
        let copied = copy.join("files").join(&file.sha256);
        match file.path.as_str() {
            "clock" => fs::write(copied, "nww").expect("writable"),
            "privacy.key" => fs::remove_file(copied).expect("there"),
            _ => {}
        }
    }
    let (_, wrong) = verify(&copy).expect("the manifest is readable");
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().any(|w| w.starts_with("clock: its sum")), "{wrong:?}");
    let again = dir.path().join("again");
    fs::create_dir_all(again.join("files")).expect("a folder");
    for entry in fs::read_dir(copy.join("files")).expect("there").flatten() {
        fs::copy(entry.path(), again.join("files").join(entry.file_name())).expect("copied");
    }
    fs::copy(copy.join(MANIFEST), again.join(MANIFEST)).expect("copied");
    into_folder(&data, &again).expect("made again");
    assert_eq!(
        verify(&again).expect("readable").1,
        Vec::<String>::new(),
        "mended from the original"
    );
    let error = into_folder(&data, &data.join("below/backup")).expect_err("inside").to_string();
    assert!(error.contains("inside the data directory"), "{error}");
    let back = dir.path().join("back");
    assert!(from_folder(&copy, &back).is_err());
    assert!(is_cut_off(&back) && !back.join("journal").exists(), "half a list does not serve");
    // Cut anywhere, a stream puts nothing back; whole, it does so over what was cut off.
    for cut in [0, 100, 600, stream.len() / 2, stream.len() - 2000] {
        let half = stream.get(..cut).expect("shorter");
        assert!(from_stream(&mut &half[..], &back).is_err(), "cut at {cut}");
        assert!(!back.join("journal").exists(), "cut at {cut}");
    }
    from_stream(&mut stream.as_slice(), &back).expect("put back");
    assert_eq!(all(&back), all(&data));
}

#[test]
fn strange_folders_manifests_and_paths_are_refused() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    data_dir(&data);
    write(&copy, "holiday.jpg", "x");
    let error = into_folder(&data, &copy).expect_err("not a backup").to_string();
    assert!(error.contains("other things than a backup"), "{error}");
    let error = into_folder(&copy, &dir.path().join("new")).expect_err("no data").to_string();
    assert!(error.contains("holds no journal"), "{error}");
    let newer = dir.path().join("newer");
    write(
        &newer,
        MANIFEST,
        "{\"format\":99,\"made_by\":\"bounced 9\",\"made_at\":\"2030-01-01T00:00:00Z\",\"files\":[]}",
    );
    let error = verify(&newer).expect_err("newer").to_string();
    assert!(error.contains("bounced 9") && error.contains("newer program"), "{error}");
    // An erasure that is under way is waited for; one that stays is said.
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("gnu").name[..14].copy_from_slice(b"data/../../etc");
    header.set_size(1);
    header.set_cksum();
    tar.append(&header, &b"x"[..]).expect("in memory");
    let stream = tar.into_inner().expect("in memory");
    let error = from_stream(&mut stream.as_slice(), &dir.path().join("back")).expect_err("outside");
    assert!(error.to_string().contains("not a path of ours"), "{error}");
}
