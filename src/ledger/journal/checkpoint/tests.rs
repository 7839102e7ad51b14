use super::super::simulated::SimulatedDisk;
use super::*;

fn rows() -> Vec<Row> {
    let row = |n: usize| {
        // Some are much longer than a block.
        let long = if n.is_multiple_of(97) { 50_000 } else { n % 200 };
        (format!("k{:05}", 2 * n).into_bytes(), vec![n as u8; long])
    };
    (0..1000).map(row).collect()
}

fn written(rows: &[Row]) -> Arc<dyn Disk> {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new(1));
    let mut writer = CheckpointWriter::create(Arc::clone(&disk), 7, 10).expect("begun");
    rows.iter().for_each(|(key, value)| writer.push(key, value).expect("fits"));
    writer.finish().expect("written");
    disk
}

fn planted(octets: &[u8]) -> Arc<dyn Disk> {
    let disk = SimulatedDisk::new(1);
    disk.plant(&name(7, "checkpoint"), octets);
    Arc::new(disk)
}

#[test]
fn every_row_is_found_and_no_other() {
    let rows = rows();
    let checkpoint = Checkpoint::open(&written(&rows), 7).expect("whole");
    assert_eq!((checkpoint.rows(), checkpoint.position()), (1000, 7));
    for (n, (key, value)) in rows.iter().enumerate() {
        assert_eq!(checkpoint.get(key).expect("readable").as_ref(), Some(value), "{n}");
        let other = format!("k{:05}", 2 * n + 1);
        assert_eq!(checkpoint.get(other.as_bytes()).expect("readable"), None, "{other}");
    }
    for key in ["", "a", "k", "z"] {
        assert_eq!(checkpoint.get(key.as_bytes()).expect("readable"), None, "{key}");
    }
    checkpoint.check(&mut || true).expect("whole");
    let none = Checkpoint::open(&written(&[]), 7).expect("whole");
    assert_eq!(none.scan(b"", b"", None, 9).expect("readable"), Vec::new());
    none.check(&mut || true).expect("whole");
}

#[test]
fn scans_agree_with_a_filter_over_all_rows() {
    let rows = rows();
    let checkpoint = Checkpoint::open(&written(&rows), 7).expect("whole");
    for prefix in ["", "k", "k00", "k0012", "k00120", "k9", "x"] {
        for after in ["", "k", "k00119", "k00120", "k00121", "k01998", "x"] {
            for through in [None, Some(&b"k00500"[..])] {
                for limit in [1, 7, 5000] {
                    let wanted: Vec<Row> = rows
                        .iter()
                        .filter(|(key, _)| key.starts_with(prefix.as_bytes()))
                        .filter(|(key, _)| &key[..] > after.as_bytes())
                        .filter(|(key, _)| through.is_none_or(|end| &key[..] <= end))
                        .take(limit)
                        .cloned()
                        .collect();
                    let found =
                        checkpoint.scan(prefix.as_bytes(), after.as_bytes(), through, limit);
                    assert!(
                        found.expect("readable") == wanted,
                        "{prefix} after {after} to {through:?}, {limit}"
                    );
                }
            }
        }
        let mut wanted: Vec<Vec<u8>> = rows.iter().map(|row| row.0.clone()).collect();
        wanted.retain(|key| key.starts_with(prefix.as_bytes()));
        wanted.reverse();
        for limit in [0, 1, 60, 5000] {
            let found = checkpoint.last_keys(prefix.as_bytes(), limit).expect("readable");
            assert_eq!(found, wanted[..limit.min(wanted.len())], "{prefix}, {limit}");
        }
    }
}

#[test]
fn every_flipped_octet_and_every_cut_is_seen() {
    let rows: Vec<Row> =
        rows().into_iter().filter(|(_, value)| value.len() < 300).take(150).collect();
    let whole = SimulatedDisk::new(1);
    let mut writer = CheckpointWriter::create(Arc::new(whole.clone()), 7, 150).expect("begun");
    rows.iter().for_each(|(key, value)| writer.push(key, value).expect("fits"));
    writer.finish().expect("written");
    let octets = whole.contents(&name(7, "checkpoint"));
    let seen = |octets: &[u8], what: &str| {
        let disk = planted(octets);
        let checked = Checkpoint::open(&disk, 7).and_then(|c| c.check(&mut || true));
        assert!(checked.is_err(), "{what}");
    };
    for at in 0..octets.len() {
        let mut changed = octets.clone();
        changed[at] ^= 1 << (at % 8);
        seen(&changed, &format!("octet {at} of {}", octets.len()));
    }
    for length in (0..octets.len()).step_by(11) {
        seen(&octets[..length], &format!("cut to {length}"));
    }
}

#[test]
fn the_checkpoint_of_an_older_release_is_read_and_that_of_a_newer_one_is_refused() {
    let mut octets = [b"BNCCKPT1".as_slice(), &7u64.to_le_bytes()].concat();
    let mut block = Vec::new();
    for (key, value) in [("ra", "1"), ("rb", "2")] {
        block.extend_from_slice(&[[2, 0, 0, 0], [1, 0, 0, 0]].concat());
        block.extend_from_slice(key.as_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    for (length, block) in [(block.len() as u32, &block[..]), (0, &2u64.to_le_bytes())] {
        octets.extend_from_slice(&length.to_le_bytes());
        octets.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
        octets.extend_from_slice(block);
    }
    let opened = |octets: &[u8]| {
        let disk = planted(octets);
        Checkpoint::open(&disk, 7)
    };
    let checkpoint = opened(&octets).expect("read");
    let row = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let all = checkpoint.scan(b"", b"", None, 9).expect("readable");
    assert_eq!(all, [row("ra", "1"), row("rb", "2")]);
    let cut = opened(&octets[..octets.len() - 1]).err().expect("cut");
    assert_eq!(cut.kind(), io::ErrorKind::InvalidData);
    octets[7] = b'3';
    let refused = refuse_newer(planted(&octets).as_ref(), 7).expect_err("newer").to_string();
    assert!(refused.contains("newer release of bounced: run that one"), "{refused}");
}
