//! The configuration as it is written: text with units, nothing checked. Every struct denies
//! unknown keys, so there is no `flatten` and no enum with data (serde cannot deny them there).

use serde::Deserialize;

macro_rules! table {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $(pub(super) $field: Option<$type>),* }
    };
}

table!(RawConfig {
    hostname: String,
    data_dir: String,
    smtp: RawSmtp,
    lmtp: RawListen,
    verp: RawVerp,
    http: RawHttp,
    lookup: RawLookup,
    policy: toml::Table,
    store: RawStore,
    journal: RawJournal,
    rules: RawRules,
    privacy: RawPrivacy,
    webhooks: Vec<RawWebhook>,
    log: RawLog,
});

table!(RawSmtp {
    listen: Vec<String>,
    domains: Vec<String>,
    max_message: String,
    max_connections: usize,
    max_connections_per_ip: usize,
    max_recipients: usize,
    command_timeout: String,
    bare_newline: String,
    proxy_from: Vec<String>,
    socket_mode: String,
    socket_group: String,
    tls: RawTls,
});

table!(RawTls { cert: String, key: String });
table!(RawListen {
    listen: Vec<String>,
    proxy_from: Vec<String>,
    socket_mode: String,
    socket_group: String,
});
table!(RawLookup {
    listen: Vec<String>,
    proxy_from: Vec<String>,
    socket_mode: String,
    socket_group: String,
    unscoped: String,
    answers: RawAnswers,
});
table!(RawAnswers {
    suppressed: String,
    held: String,
    transport_suppressed: String,
    transport_held: String,
});
table!(RawVerp { schemes: Vec<String>, max_age: String, keys: Vec<RawKey> });
table!(RawKey { id: String, secret_file: String });
table!(RawHttp {
    listen: Vec<String>,
    proxy_from: Vec<String>,
    socket_mode: String,
    socket_group: String,
    tokens_file: String,
});
table!(RawStore { engine: String, cache: String, min_free: String });
table!(RawJournal {
    engine: String,
    keep: String,
    raw: String,
    raw_keep: String,
    raw_quota: String,
    postgres: RawPostgres,
});
table!(RawPostgres {
    url_file: String,
    schema: String,
    ledger: usize,
    node: String,
    patience: String,
    stale: String,
});
table!(RawRules { dir: String, shadow_dir: String });
table!(RawPrivacy { addresses: String, hash_key_file: String });
table!(RawWebhook {
    name: String,
    url: String,
    format: String,
    secret_file: String,
    basic_auth_file: String,
    ca_file: String,
    types: Vec<String>,
    kinds: Vec<String>,
    categories: Vec<String>,
    scopes: Vec<String>,
    allow_networks: Vec<String>,
    start: String,
    give_up: String,
});
table!(RawLog { format: String });
