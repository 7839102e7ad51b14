//! The command line as clap sees it. The words are docs/interface.md, "Command line"; `--help` fits
//! one screen, `COMMAND --help` has the rest.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::mail::Address;

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Receives bounces, says what they mean, keeps the list of addresses not to mail
#[derive(Debug, Parser)]
#[command(
    name = "bounced",
    version,
    help_template = TEMPLATE,
    disable_help_subcommand = true,
    after_help = "Exit: 0 yes or done, 1 no or not found, 2 failed. More: bounced COMMAND --help"
)]
pub struct Cli {
    /// File [or $BOUNCED_CONFIG, ./bounced.toml, /etc/bounced/]
    ///
    /// The configuration; else the file that $BOUNCED_CONFIG names, ./bounced.toml, or
    /// /etc/bounced/bounced.toml; else embedded defaults that listen on loopback only.
    #[arg(long, global = true, value_name = "FILE", env = "BOUNCED_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Receive bounces and answer lookups: the main job
    Serve,
    /// Check configuration, certificates and rules, change nothing
    CheckConfig,
    /// Say what messages mean, store nothing
    ///
    /// PATH is a file, an mbox, a folder (walked in name order), a Maildir, or `-` for standard
    /// input. With --json: one object a line, one line a message, in the order of the input.
    Classify(ClassifyArgs),
    /// Ask whether addresses are suppressed
    ///
    /// Exit 0 when every address is suppressed or held, 1 when one is not.
    Lookup(LookupArgs),
    /// Show all evidence on an address and the decision
    Explain(ExplainArgs),
    /// Suppress an address by hand
    Suppress(SuppressArgs),
    /// Release an address by hand
    Release(ReleaseArgs),
    /// Show the suppression list
    List(ListArgs),
    /// Suppress all addresses of a file
    ///
    /// PATH holds NDJSON, CSV, or plain addresses, one a line; what `export` wrote and what other
    /// sending systems export. Read are address (email, recipient), scope, reason and until.
    Import(ImportArgs),
    /// Write the suppression list as NDJSON, CSV or lines
    Export(ExportArgs),
    /// Feed messages in as if they had come by SMTP
    ///
    /// PATH is as for classify. In a pipe from a mail server, let a failure be tried again:
    /// `bounced ingest --to "$RECIPIENT" - || exit 75`.
    Ingest(IngestArgs),
    /// Answer OpenSMTPD as one of its tables
    ///
    /// smtpd 7.6 or newer starts it (smtpd-tables(7)); it asks the lookup port of the
    /// configuration.
    TableProc(TableProcArgs),
    /// Mint or check return-path addresses
    #[command(subcommand)]
    Verp(VerpCommand),
    /// Check rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// What if: the journal again, with other rules or another policy
    ///
    /// Judges every recorded refusal again with the rules of DIR, folds the journal again in memory
    /// under the policy of FILE, or both, and says which verdicts would change and which addresses
    /// would be suppressed, held or released. Changes nothing without --apply. Holds about 1 KiB of
    /// memory for each address of the journal.
    Replay(ReplayArgs),
    /// Take back a batch of decisions
    Undo(UndoArgs),
    /// Show the wordings that no rule knows, most frequent first
    Unknown(UnknownArgs),
    /// Print the journal, one JSON object a line
    Events(EventsArgs),
    /// Forget a person and keep the block
    ///
    /// The address disappears from journal, checkpoints, raw messages and list; what is suppressed
    /// stays so under a keyed hash. Mail is deferred (451) while the list is built anew. When it is
    /// cut off, the next start goes on with it; doing it twice changes nothing. Backups and logs of
    /// others are not reached.
    Erase(EraseArgs),
    /// Show the guards that hold suppressions back, or end one
    ///
    /// Exit 0 when one is tripped, 1 when none is.
    Guards(GuardsArgs),
    /// Believe the wall clock again after it jumped
    ///
    /// After a jump by more than a day nothing expires until a person agrees; the log, readyz and
    /// the metric bounced_clock_in_doubt say so. Look at `date -u` first.
    AcceptClock,
    /// Copy journal, checkpoints and keys while the service runs
    #[command(args_conflicts_with_subcommands = true)]
    Backup(BackupArgs),
    /// Put a backup into an empty data directory
    Restore(RestoreArgs),
    /// Fold the journal again and compare it with the list
    ///
    /// The proof that the list is what the journal says: exit 0 when it is, 1 when not, or when nothing
    /// can be proved. While a service runs, the list is what a start would make of its newest checkpoint
    /// and journal at that moment. A node among others is compared with the journal in PostgreSQL, too.
    /// Needs the space of a list.
    Verify(VerifyArgs),
    /// Show the state of webhooks, or test one
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// Make or look at the PostgreSQL journal of many nodes
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Check this machine and its names, and say what to mend
    ///
    /// Looks at the data, the disk and the limits, and, as a sender would, at the MX of each return-path
    /// domain, at port 25 behind it, its certificate, and what is published about it (SPF, MTA-STS, DANE,
    /// TLS-RPT). It ends 10 seconds after the network was asked first; what cannot be looked up is a
    /// warning. Exit 2 when something is to be mended (FAIL).
    Doctor(DoctorArgs),
    /// Send a report through the front door and wait for its event
    ///
    /// The report says that something was delivered: it changes nobody's state. Exit 0 when the event
    /// came, 2 when it did not. Run it every few minutes, and let a monitor watch the exit code.
    Canary(CanaryArgs),
    /// Ask the running service whether it is ready
    Readyz,
    /// Write shell completions
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page
    Man,
}

/// `classify`
#[derive(Debug, Args)]
pub struct ClassifyArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Envelope recipient of the messages, for VERP
    #[arg(long, value_name = "ADDRESS", value_parser = return_path)]
    pub to: Option<String>,
    /// Files, folders, or `-`
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// `lookup`
#[derive(Debug, Args)]
pub struct LookupArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// List, stream or tenant [default: what holds for all]
    #[arg(long)]
    pub scope: Option<String>,
    /// Addresses to look up
    #[arg(required = true, value_name = "ADDRESS")]
    pub addresses: Vec<String>,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Address to explain
    pub address: String,
}

/// `suppress`
#[derive(Debug, Args)]
pub struct SuppressArgs {
    /// Address to suppress
    pub address: String,
    /// Why, for people who ask later
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// End: a date, an RFC 3339 time, or a duration such as 30d [default: without end]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// List, stream or tenant
    #[arg(long, default_value = "*")]
    pub scope: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `release`
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Address to release
    pub address: String,
    /// Why, for people who ask later
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// List, stream or tenant
    #[arg(long, default_value = "*")]
    pub scope: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which entries.
#[derive(Debug, Args, Default)]
pub struct FilterArgs {
    /// Only addresses of this domain
    #[arg(long)]
    pub domain: Option<String>,
    /// Only this class, such as invalid-recipient
    #[arg(long)]
    pub class: Option<String>,
    /// Only entries made since: a date, an RFC 3339 time, or a duration ago such as 7d
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// What stops mail of this list, stream or tenant, also what holds in all
    #[arg(long)]
    pub scope: Option<String>,
}

/// `list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// At most this many entries
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Which entries.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Ndjson,
    /// RFC 4180 with a header line
    Csv,
    /// Addresses alone, one a line
    Lines,
}

/// `export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// How entries are written
    #[arg(long, value_enum, default_value = "ndjson")]
    pub format: ExportFormat,
    /// One JSON object a line, as with the format ndjson
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Which entries.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// `import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// File, or `-`
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Why, for entries that do not say so
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// List, stream or tenant, for entries that do not say so
    #[arg(long, default_value = "*")]
    pub scope: String,
    /// Take soft bounces and refusals of the sender, too
    #[arg(long)]
    pub all: bool,
    /// Show what it was understood as and what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What was done as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `ingest`
#[derive(Debug, Args)]
pub struct IngestArgs {
    /// Files, folders, or `-`
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Envelope recipient of the messages: the return path that they came to
    #[arg(long, value_name = "ADDRESS", value_parser = return_path)]
    pub to: Option<String>,
    /// Let notices decide that people forwarded to you; without it they are only kept
    #[arg(long)]
    pub trust: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `table-proc`
#[derive(Debug, Args)]
pub struct TableProcArgs {
    /// List, stream or tenant [default: all of them]
    #[arg(long)]
    pub scope: Option<String>,
    /// While the service is down find nothing, so that mail goes on [default: put it off]
    #[arg(long)]
    pub open: bool,
    /// What smtpd adds; not read
    #[arg(hide = true)]
    pub rest: Vec<String>,
}

/// `verp`
#[derive(Debug, Subcommand)]
pub enum VerpCommand {
    /// Mint the return path for one recipient
    Sign {
        /// The address that you mail
        recipient: String,
        /// Scope, or scope.campaign, to carry inside
        #[arg(long)]
        tag: Option<String>,
        /// Domain of the return path [default: the first of smtp.domains]
        #[arg(long)]
        domain: Option<String>,
    },
    /// Check a return path: exit 0 genuine, 1 not
    Verify {
        /// The whole address
        return_path: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// `rules`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Read the rules, run every `seen` line against all of them
    Check {
        /// Folder of operator rules [default: rules.dir of the configuration]
        dir: Option<PathBuf>,
    },
}

/// `webhooks`
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Show the state of each endpoint
    ///
    /// Exit 0 when every endpoint takes what it is told, 1 when one does not.
    Status {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Send a signed test to one endpoint, once
    ///
    /// Exit 0 when it was taken, 1 when not.
    Test {
        /// Name of the endpoint in the configuration
        name: String,
        /// The answer as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Folder of operator rules to try [default without --policy: rules.dir]
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// TOML file with the policy table to try, in place of every policy that was in force
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Show instead where the rules on trial (rules.shadow_dir) disagreed since the service began
    #[arg(long, conflicts_with_all = ["rules", "policy", "since", "apply"])]
    pub shadow: bool,
    /// Only events since: a date, an RFC 3339 time, or a duration ago such as 30d
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// All that would change, one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Replace the verdicts by the new ones, as one act of the journal
    #[arg(long, requires = "reason")]
    pub apply: bool,
    /// Why, with --apply
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `undo`
#[derive(Debug, Args)]
#[command(group(
    clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["rule", "provider", "peer", "between"])
))]
pub struct UndoArgs {
    /// Decisions by this rule
    #[arg(long, value_name = "ID")]
    pub rule: Option<String>,
    /// Decisions on addresses of this provider
    #[arg(long)]
    pub provider: Option<String>,
    /// Decisions on messages from this client address
    #[arg(long, value_name = "IP")]
    pub peer: Option<String>,
    /// Decisions between two moments
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"])]
    pub between: Vec<String>,
    /// Why, for people who ask later; a dry run needs none
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// `unknown`
#[derive(Debug, Args)]
pub struct UnknownArgs {
    /// Only events since: a date, an RFC 3339 time, or a duration ago such as 30d
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// At most this many wordings
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    pub limit: usize,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `events`
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Begin at this position of the journal
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    pub from: u64,
    /// At most this many events
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Wait for more at the end, until interrupted
    #[arg(long)]
    pub follow: bool,
}

/// `erase`
#[derive(Debug, Args)]
pub struct EraseArgs {
    /// Address to forget
    pub address: String,
}

/// `guards`
#[derive(Debug, Args)]
pub struct GuardsArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// What to do with one.
    #[command(subcommand)]
    pub release: Option<GuardsCommand>,
}

/// `guards release`
#[derive(Debug, Subcommand)]
pub enum GuardsCommand {
    /// End a guard by hand: what it holds needs a second failure on another day
    #[command(group(clap::ArgGroup::new("which").required(true).args(["provider", "scope"])))]
    Release {
        /// Provider (or domain) of an outage
        #[arg(long)]
        provider: Option<String>,
        /// Scope whose cap on new suppressions was met
        #[arg(long)]
        scope: Option<String>,
        /// Why, for people who ask later
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Folder (new, or an earlier backup: then only what changed is copied), or `-` for tar on
    /// standard output
    #[arg(value_name = "DIR", required = true)]
    pub to: Option<PathBuf>,
    /// What to do with one.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
}

/// `backup verify`
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Read every file of a backup again: exit 0 whole, 1 not
    Verify {
        /// The backup
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// `engine`
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Make the schema and the ledger, as far as they are missing, and print what a node's role
    /// needs
    ///
    /// It asks as the role of --url-file, which may make a schema. The GRANTs are for the role of
    /// journal.postgres.url_file, or --role.
    Init(EngineInitArgs),
    /// Show the nodes, how far they are, and what is wrong; exit 1 when something is
    Status(EngineStatusArgs),
    /// Let all nodes fold as this release does, from now on, when all of the last 24 hours can
    ///
    /// After a release that folds differently is on every node. It is written into the journal, and
    /// cannot be taken back: nodes of the release before take no part from there on.
    Upgrade,
    /// Make the list of this data directory that of an empty ledger
    ///
    /// Its journal is copied and compared, each octet, and what a new node makes of it is compared by
    /// its digest. No service may run on it, and no node on the ledger. When it is cut off, run it
    /// again. Afterwards it is a node like others.
    Adopt,
    /// Make the copy of this node a list of its own
    ///
    /// Stop all nodes first; this one must have all there is. Then write engine = "local".
    Leave,
}

/// `verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `engine init`
#[derive(Debug, Args)]
pub struct EngineInitArgs {
    /// A file with the URL of a role that may make a schema; else the one of the configuration
    #[arg(long, value_name = "FILE")]
    pub url_file: Option<PathBuf>,
    /// For which role the GRANTs are printed
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
}

/// `engine status`
#[derive(Debug, Args)]
pub struct EngineStatusArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup, or `-` for tar on standard input
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
}

/// `canary`
#[derive(Debug, Args)]
pub struct CanaryArgs {
    /// The MX as the world knows it, HOST or HOST:PORT (25 without one); without it the first port of
    /// smtp.listen
    #[arg(long, value_name = "HOST[:PORT]")]
    pub to: Option<String>,
    /// How long to wait for each step, and for the event
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = some_time)]
    pub timeout: Duration,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Leave the network out: DNS, port 25 of the MX, certificates
    #[arg(long)]
    pub offline: bool,
    /// Ask this name server, else those of /etc/resolv.conf
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = name_server)]
    pub resolver: Option<SocketAddr>,
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    let wrong = |_| "write an address such as 192.0.2.53, or 192.0.2.53:5353".to_string();
    text.parse().or(bare).map_err(wrong)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number from 1 on, or leave it out".to_string()),
        Ok(number) => Ok(number),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = crate::config::parse_duration(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "write a duration such as 30s".to_string())
}

fn return_path(text: &str) -> Result<String, String> {
    if Address::parse(text).is_none() && !text.eq_ignore_ascii_case("postmaster") {
        return Err("that is no address, write the return path that the messages came to, \
             such as bounces+user=example.com@bounce.example.com"
            .to_string());
    }
    Ok(text.to_string())
}
