//! Checks of several values together: dangerous combinations are refused with a sentence, doubtful
//! ones become notes.

use super::value::Checker;
use super::{Config, KeepRaw, Listen};

impl Checker<'_> {
    /// What each value allows and all of them together do not.
    pub(super) fn combinations(&mut self, config: &Config) {
        let open = |listens: &[Listen]| listens.iter().find(|l| !l.is_local()).cloned();
        for (key, listens) in [("smtp.listen", &config.smtp.listen), ("lmtp.listen", &config.lmtp)]
        {
            let Some(listen) = open(listens) else { continue };
            if config.smtp.domains.is_empty() {
                let text = format!(
                    "{key} {listen} can be reached from other machines and no recipient domain is \
                     given, write domains = [\"bounce.example.com\"] below [smtp]"
                );
                self.wrong(key, text);
            }
            if !self.origin.writes("hostname") {
                let text = format!(
                    "{key} {listen} can be reached from other machines and needs a name to greet \
                     them with, write hostname = \"bounce.example.com\" above the first [table]"
                );
                self.wrong(key, text);
            }
        }
        if let (Some(listen), None) = (open(&config.http.listen), &config.http.tokens_file) {
            let text = format!(
                "http.listen {listen} can be reached from other machines and would let them change \
                 the list without a token, write tokens_file = \"FILE\" below [http] or listen on \
                 127.0.0.1"
            );
            self.wrong("http.listen", text);
        }
        if config.journal.postgres.is_some() && config.privacy.hash_key.is_none() {
            let text = "journal.engine = \"postgres\" needs one key for the blocks of erased addresses on \
                        all nodes, write one with: openssl rand -hex 32, and name its file in \
                        privacy.hash_key_file";
            self.wrong("journal.engine", text);
        }
        if config.privacy.hashed && config.journal.raw != KeepRaw::None {
            let text = "privacy.addresses = \"hashed\" stores no address and raw messages name them, \
                        write raw = \"none\" below [journal]";
            self.wrong("privacy.addresses", text);
        }
        for (i, listen) in config.lmtp.iter().enumerate() {
            if matches!(listen, Listen::Tcp(address) if address.port() == 25) {
                let key = format!("lmtp.listen[{i}]");
                self.wrong(
                    &key,
                    format!(
                        "lmtp.listen {listen}: LMTP must not use port 25 (RFC 2033 section 5), \
                         write port 2424 or \"unix:/run/bounced/lmtp.sock\""
                    ),
                );
            }
        }
        if config.smtp.listen.is_empty() && config.lmtp.is_empty() {
            self.wrong(
                "smtp.listen",
                "neither smtp.listen nor lmtp.listen names an address, so no mail could come in, \
                 write listen = [\"127.0.0.1:2525\"] below [smtp]",
            );
        }
        self.collisions(config);
        self.trust(config);
        if let Some(listen) = open(&config.lookup) {
            let at = self.origin.at("lookup.listen");
            self.notes.push(format!(
                "{at}: lookup.listen {listen} can be reached from other machines, and the lookup \
                 protocols know no password: let a firewall say who may ask"
            ));
        }
    }

    fn collisions(&mut self, config: &Config) {
        let mut seen: Vec<(String, &Listen)> = Vec::new();
        for (key, listens) in config.listeners() {
            for listen in listens {
                if let Some((other, taken)) = seen.iter().find(|(_, l)| l.collides_with(listen)) {
                    let every = listen.every_address().max(taken.every_address());
                    let remedy = match every {
                        Some(every) if key == other && every.is_ipv6() => {
                            ": [::] is every address, IPv4 too, remove the other"
                        }
                        Some(_) if key == other => {
                            ": 0.0.0.0 is every IPv4 address, remove the other"
                        }
                        _ => ", write another port",
                    };
                    let text = format!("{key} {listen} collides with {other} {taken}{remedy}");
                    // One of the two may be a default that the file does not write.
                    let blamed = if self.origin.writes(key) { key } else { other };
                    let blamed = blamed.to_string();
                    self.wrong(&blamed, text);
                }
                seen.push((key.to_string(), listen));
            }
        }
    }

    /// Who may suppress (docs/policy.md, "Attribution").
    fn trust(&mut self, config: &Config) {
        let verp = &config.verp;
        if verp.signed && !verp.plain && verp.keys.is_empty() {
            self.wrong(
                "verp.schemes",
                "verp.schemes wants signed addresses and there is no key to check them with, write \
                 [[verp.keys]] with id and secret_file, or schemes = [\"signed\", \"plain\"]",
            );
        }
        if !verp.signed && !verp.keys.is_empty() {
            self.wrong(
                "verp.schemes",
                "verp.schemes leaves \"signed\" out and there are keys for signed addresses, write \
                 schemes = [\"signed\"] or remove [[verp.keys]]",
            );
        } else if verp.plain && !verp.keys.is_empty() {
            let at = self.origin.at("verp.schemes");
            self.notes.push(format!(
                "{at}: a key is configured, so only signed return paths suppress; reports to plain \
                 ones are kept and shown and count in nothing (verp.schemes = [\"signed\"] refuses \
                 them)"
            ));
        }
        if verp.keys.is_empty() && config.smtp.listen.iter().any(|listen| !listen.is_local()) {
            self.notes.push(
                "no [[verp.keys]]: anyone who can send mail to this server can forge a bounce and \
                 have an address suppressed"
                    .to_string(),
            );
        }
    }
}
