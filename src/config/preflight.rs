//! What `serve` needs from the machine before it binds, checked without changing anything: the
//! data directory, certificate and key, tokens, rules and socket folders. `check-config`, `serve`
//! and SIGHUP ask here, and `doctor` prints the same sentences.
//!
//! Promises: nothing is created, opened for writing or locked, so it may run while the service
//! runs. Ports are not tried for the same reason; [`bind_trouble`] words what binding says.
//! That a key belongs to its certificate is for `serve::tls`, which knows how to sign.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, ConfigError, ConfigProblem, Listen, Origin, TlsFiles, reason};

/// Longest PEM or token file; anything longer is the wrong file.
const MAX_FILE: u64 = 4 << 20;

/// Everything that can be known before binding; all problems at once, with their lines.
pub fn check(config: &Config, origin: &Origin) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    for (key, text) in findings(config, origin) {
        problems.push(ConfigProblem { line: origin.line(key), text });
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by_key(|problem| problem.line);
    let file = origin.file().unwrap_or(Path::new("embedded defaults"));
    Err(ConfigError { file: file.display().to_string(), problems })
}

/// The key to blame and the sentence, for each finding.
fn findings(config: &Config, origin: &Origin) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if let Err(why) = data_dir(&config.data_dir) {
        found.push(("data_dir", why));
    }
    if let Some(tls) = &config.smtp.tls {
        found.extend(pem(tls));
    }
    if let Some(file) = &config.http.tokens_file
        && let Err(why) = read(file)
    {
        let text = format!(
            "tokens_file \"{}\" cannot be read ({why}), name a file that this user can read",
            file.display()
        );
        found.push(("http.tokens_file", text));
    }
    if let Some(dir) = &config.shadow_rules_dir
        && let Err(why) = std::fs::read_dir(dir)
    {
        let text = format!(
            "rules.shadow_dir \"{}\" cannot be read ({}), make the folder or write shadow_dir = \"\"",
            dir.display(),
            reason(&why)
        );
        found.push(("rules.shadow_dir", text));
    }
    if let Some(dir) = &config.rules_dir
        && let Err(why) = std::fs::read_dir(dir)
        // The default may be missing; a folder that somebody asked for may not.
        && (why.kind() != io::ErrorKind::NotFound || origin.writes("rules.dir"))
    {
        let text = format!(
            "rules.dir \"{}\" cannot be read ({}), make the folder or write dir = \"\"",
            dir.display(),
            reason(&why)
        );
        found.push(("rules.dir", text));
    }
    for (key, listens) in config.listeners() {
        for listen in listens {
            if let Listen::Unix(path) = listen
                && let Err(why) = socket_folder(path)
            {
                found.push((key, format!("{key} {listen}: {why}")));
            }
        }
    }
    found
}

/// The sentence for a listener that could not be opened; `serve` ends with it and exit 2.
pub fn bind_trouble(key: &str, listen: &Listen, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there (is bounced already running?), stop it or write another \
             address"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not: let systemd or the container give port 25, or write a port above \
             1023"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address, write one that `ip address` shows"
        }
        _ => "write another address",
    };
    format!("{key} {listen} cannot be opened ({}): {advice}", reason(error))
}

/// Whether the journal can be written there, or the folder be made.
fn data_dir(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    let mut place = dir.to_path_buf();
    loop {
        match std::fs::metadata(&place) {
            Ok(meta) if !meta.is_dir() => {
                return Err(format!(
                    "data_dir \"{shown}\" cannot be used (\"{}\" is not a directory), write \
                     another path",
                    place.display()
                ));
            }
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                place = match place.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
                    _ => PathBuf::from("."),
                };
            }
            // A file is where a folder should be: go up to name it.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                place = place.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf);
            }
            Err(e) => {
                return Err(format!(
                    "data_dir \"{shown}\" cannot be used ({}), write another path",
                    reason(&e)
                ));
            }
        }
    }
    if is_of_the_kernel(&place) {
        return Err(format!(
            "data_dir \"{shown}\" cannot be used (\"{}\" is of the kernel and keeps no files), write \
             another path",
            place.display()
        ));
    }
    access(&place, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        format!(
            "data_dir \"{shown}\" cannot be written (\"{}\": {}), give it to this user or write \
             another path",
            place.display(),
            reason(&e.into())
        )
    })
}

/// Whether a folder is of `/proc`, `/sys` or a kind of these: root may write there by its
/// permissions, and nothing can be made.
fn is_of_the_kernel(folder: &Path) -> bool {
    /// `statfs.f_type` of procfs, sysfs, cgroup, cgroup2, debugfs and securityfs, by statfs(2).
    const KINDS: [u64; 6] =
        [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7363_6673];
    rustix::fs::statfs(folder).is_ok_and(|stat| KINDS.contains(&(stat.f_type as u64)))
}

fn pem(files: &TlsFiles) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let (cert, key) = (files.cert.display(), files.key.display());
    match read(&files.cert) {
        Err(why) => found.push((
            "smtp.tls.cert",
            format!("cert \"{cert}\" cannot be read ({why}), name a file that this user can read"),
        )),
        Ok(octets) => {
            if let Err(why) = certificates(&octets) {
                found.push(("smtp.tls.cert", format!("cert \"{cert}\" {why}")));
            }
        }
    }
    match read(&files.key) {
        Err(why) => found.push((
            "smtp.tls.key",
            format!("key \"{key}\" cannot be read ({why}), name a file that this user can read"),
        )),
        Ok(octets) => {
            if let Err(why) = private_key(&octets) {
                found.push(("smtp.tls.key", format!("key \"{key}\" {why}")));
            }
        }
    }
    found
}

fn certificates(octets: &[u8]) -> Result<(), String> {
    let mut any = false;
    for certificate in CertificateDer::pem_slice_iter(octets) {
        certificate
            .map_err(|e| format!("is damaged ({e}), copy the PEM file of the whole chain again"))?;
        any = true;
    }
    if any {
        return Ok(());
    }
    if private_key(octets).is_ok() {
        return Err("holds a private key, write it as key and the chain as cert".to_string());
    }
    Err("holds no certificate, name a PEM file with -----BEGIN CERTIFICATE----- such as \
         fullchain.pem"
        .to_string())
}

fn private_key(octets: &[u8]) -> Result<(), String> {
    match PrivateKeyDer::from_pem_slice(octets) {
        Ok(_) => Ok(()),
        Err(rustls_pki_types::pem::Error::NoItemsFound) => {
            let text = String::from_utf8_lossy(octets);
            if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
                return Err(
                    "is encrypted and nobody is there to type the passphrase, run: openssl \
                            pkey -in FILE -out privkey.pem"
                        .to_string(),
                );
            }
            let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(octets).flatten();
            if sections.into_iter().any(|(kind, _)| kind == SectionKind::Certificate) {
                return Err(
                    "holds a certificate, write it as cert and the private key as key".to_string()
                );
            }
            Err("holds no private key, name a PEM file with -----BEGIN PRIVATE KEY----- such as \
                 privkey.pem"
                .to_string())
        }
        Err(e) => Err(format!("is damaged ({e}), copy the PEM file again")),
    }
}

fn socket_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if path.is_dir() {
        return Err(format!("that is a folder, write a file name behind \"{}/\"", path.display()));
    }
    if !folder.is_dir() {
        return Err(format!("there is no folder \"{}\", make it", folder.display()));
    }
    if is_of_the_kernel(folder) {
        return Err(format!(
            "no socket can be made in \"{}\", which is of the kernel: write such as \
             \"unix:/run/bounced/NAME.sock\"",
            folder.display()
        ));
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|e| {
        format!(
            "no socket can be made in \"{}\" ({}), give the folder to this user",
            folder.display(),
            reason(&e.into())
        )
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let meta = std::fs::metadata(path).map_err(|e| reason(&e))?;
    if meta.is_dir() {
        return Err("it is a directory".to_string());
    }
    if meta.len() > MAX_FILE {
        return Err(format!("it is longer than {MAX_FILE} octets"));
    }
    std::fs::read(path).map_err(|e| reason(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-signed certificate and its key, as PEM.
    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["bounce.example.com".to_string()])
            .expect("a certificate for a plain name");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_wrong_certificate_is_one_sentence() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let (cert, key) = pair();
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let cut = cert.replace("-----END", "-----AND");
        for (first, second, expected) in [
            (cert.as_str(), key.as_str(), vec![]),
            (&key, &cert, vec!["write it as key", "write it as cert"]),
            ("nothing", &key, vec!["holds no certificate"]),
            (&cert, "nothing", vec!["holds no private key"]),
            (&cert, &encrypted, vec!["openssl pkey"]),
            (&cut, &key, vec!["is damaged"]),
        ] {
            let files = TlsFiles { cert: dir.path().join("c"), key: dir.path().join("k") };
            std::fs::write(&files.cert, first).expect("scratch is writable");
            std::fs::write(&files.key, second).expect("scratch is writable");
            let found = pem(&files);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((_, text), part) in found.iter().zip(&expected) {
                assert!(text.contains(part), "{text} should say {part}");
            }
        }
    }

    #[test]
    fn a_data_directory_that_cannot_be() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("scratch is writable");
        for (path, fits) in [
            (dir.path().to_path_buf(), true),
            (dir.path().join("made/later"), true),
            (PathBuf::from("made-later"), true),
            (file.clone(), false),
            (file.join("below"), false),
            (file.join("far/below"), false),
            (PathBuf::from("/proc/bounced"), false),
            (PathBuf::from("/sys/kernel/bounced"), false),
        ] {
            assert_eq!(data_dir(&path).is_ok(), fits, "{} {:?}", path.display(), data_dir(&path));
        }
    }

    #[test]
    fn a_socket_that_cannot_be() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        for (path, fits) in [
            (dir.path().join("a.sock"), true),
            (dir.path().to_path_buf(), false),
            (dir.path().join("missing/a.sock"), false),
            (PathBuf::from("/proc/a.sock"), false),
        ] {
            assert_eq!(socket_folder(&path).is_ok(), fits, "{}", path.display());
        }
    }

    #[test]
    fn binding_trouble_says_what_to_do() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("a bound socket has an address");
        let error = std::net::TcpListener::bind(address).expect_err("the port is taken");
        let text = bind_trouble("smtp.listen", &Listen::Tcp(address), &error);
        assert!(text.contains("is bounced already running?"), "{text}");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = bind_trouble("smtp.listen", &Listen::Tcp(address), &denied);
        assert!(text.contains("port above 1023"), "{text}");
    }
}
