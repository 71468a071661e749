//! Every code of a refusal, with its words. A code that is out never changes its meaning; another meaning is another code.

/// A code and its words.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// What programs and people search for.
    pub word: &'static str,
    /// What is safe.
    pub safe: &'static str,
    /// What happened.
    pub happened: &'static str,
    /// What to do.
    pub todo: &'static str,
}

const NOTHING_CHANGED: &str = "Nothing was changed.";
const NOTHING_IMPORTED: &str = "Nothing was imported.";
const NOTHING_STARTED: &str = "Nothing was started.";
const KEPT: &str = "Every file was left as it is.";
const SKIPPED: &str = "The row was skipped; the others went in.";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:literal $safe:expr, $happened:literal, $todo:literal;)+) => {
        $($(#[$doc])* pub const $name: Code = Code { word: $word, safe: $safe, happened: $happened, todo: $todo };)+
        /// All of them.
        pub const ALL: &[&Code] = &[$(&$name),+];
    };
}

codes! {
    /// The command line is not written as it must be.
    USAGE "USAGE" NOTHING_CHANGED, "The command is not written as it must be.", "See `archipel --help`.";
    /// A question was not answered with yes.
    NOT_CONFIRMED "NOT-CONFIRMED" NOTHING_CHANGED, "The question was not answered with yes.", "Run it again and answer y, or give `--yes`.";
    /// `ARCHIPEL_LOG` is no filter.
    LOG_FILTER "LOG-FILTER" NOTHING_STARTED, "ARCHIPEL_LOG is not a filter for the log.", "Write it like `warn,node=info`, or leave it out.";
    /// What nobody foresaw.
    SITE_FAULT "SITE-FAULT" "What was saved before is safe.", "Something failed inside the site.", "Try again; tell your administrator the code.";

    /// No site in this folder.
    FOLDER_EMPTY "FOLDER-EMPTY" NOTHING_CHANGED, "No site lives in this folder.", "Name its folder with `--data`, or run `archipel init` or `archipel join` first.";
    /// A site is there already.
    FOLDER_USED "FOLDER-USED" NOTHING_CHANGED, "A site lives in this folder already.", "Choose another folder with `--data`.";
    /// Another process works on it.
    FOLDER_BUSY "FOLDER-BUSY" NOTHING_CHANGED, "Another process works on this folder: its node, or another command.", "Stop the node for as long as this command takes, or wait until the other command has ended.";
    /// It cannot be made or written.
    FOLDER_WRITE "FOLDER-WRITE" NOTHING_CHANGED, "The folder cannot be made or written.", "Check its path, its rights and the room on the disk.";
    /// A key is not one.
    KEY_DAMAGED "KEY-DAMAGED" KEPT, "A key file of this folder is not a key.", "Put the file back from a backup of this folder.";
    /// A store without its key.
    KEY_MISSING "KEY-MISSING" KEPT, "The site's records are here, but its key is not.", "Put `site.key` back from a backup of this folder.";
    /// A key that the organisation does not know.
    KEY_FOREIGN "KEY-FOREIGN" "No record was changed.", "The key of this folder belongs to no site of its organisation.", "Put `site.key` back from a backup of this folder.";
    /// A key without its store.
    STORE_MISSING "STORE-MISSING" KEPT, "The site's key is here, but its records are not.", "Put `archipel.redb` back from a backup, or invite the site's code again and join in an empty folder.";
    /// A store that does not open.
    STORE_DAMAGED "STORE-DAMAGED" KEPT, "The file of the site's records cannot be read.", "Check the disk; put `archipel.redb` back from a backup, or invite the site's code again and join in an empty folder.";
    /// A store without an organisation.
    STORE_FOREIGN "STORE-FOREIGN" "Nothing was taken from any file.", "The file of the site's records holds no organisation that this version can read.", "Run the version that wrote it, put `archipel.redb` back from a backup, or join in an empty folder.";
    /// Sessions and tokens do not open.
    LOCAL_DAMAGED "LOCAL-DAMAGED" KEPT, "The file of sessions and tokens cannot be read.", "Put `local.sqlite` back from a backup, or move it away: people log in again.";

    /// Not a site's code.
    SITE_CODE "SITE-CODE" NOTHING_CHANGED, "A site's code is 2 to 5 capital letters or digits.", "Choose another code.";
    /// Not a name.
    NAME_FORM "NAME-FORM" NOTHING_CHANGED, "A name is empty or too long.", "Give it 1 to 256 bytes of text.";
    /// The organisation's rules.
    INIT_REFUSED "INIT-REFUSED" NOTHING_CHANGED, "An organisation cannot be founded like this.", "Correct what is named below.";
    /// The kit's file is there already.
    KIT_EXISTS "KIT-EXISTS" NOTHING_CHANGED, "A file is where the recovery kit would go.", "Move it away, or choose another place with `--kit`.";
    /// The kit cannot be written.
    KIT_WRITE "KIT-WRITE" NOTHING_CHANGED, "The recovery kit cannot be written.", "Choose another place with `--kit`.";
    /// The kit's file cannot be read.
    KIT_READ "KIT-READ" NOTHING_CHANGED, "The recovery kit cannot be read.", "Name its file with `--kit`.";
    /// Not a kit, or not all of it.
    KIT_DAMAGED "KIT-DAMAGED" NOTHING_CHANGED, "The file is no recovery kit, or a part of it is missing or mistyped.", "Compare it with the printed one, line by line.";
    /// It does not open.
    KIT_PASSPHRASE "KIT-PASSPHRASE" NOTHING_CHANGED, "The recovery kit does not open with this passphrase.", "Compare both with the printed ones, letter by letter.";
    /// Another organisation's.
    KIT_FOREIGN "KIT-FOREIGN" NOTHING_CHANGED, "The recovery kit is another organisation's.", "Compare its fingerprint with that of this organisation.";
    /// Not an administrator of the organisation.
    ADMIN_UNKNOWN "ADMIN-UNKNOWN" NOTHING_CHANGED, "No active administrator of the whole organisation has this login.", "Name one with `--login`.";
    /// None here.
    ADMIN_ELSEWHERE "ADMIN-ELSEWHERE" NOTHING_CHANGED, "No administrator of the whole organisation may log in at this site.", "Name the one who shall with `--login`.";
    /// No such statement.
    RULE_UNKNOWN "RULE-UNKNOWN" NOTHING_CHANGED, "This site holds no statement at this position.", "Choose one that `archipel rules` lists.";
    /// No password.
    PASSWORD_EMPTY "PASSWORD-EMPTY" NOTHING_CHANGED, "No password was given.", "Give it as a line on standard input.";
    /// Too short.
    PASSWORD_SHORT "PASSWORD-SHORT" NOTHING_CHANGED, "A password has at least 10 characters.", "Choose a longer one.";
    /// Not one of the user's sites.
    PASSWORD_ELSEWHERE "PASSWORD-ELSEWHERE" NOTHING_CHANGED, "This site is not one at which this user may log in.", "Set the password at one of those, or name this one with `archipel user sites`.";
    /// Too long, or not text.
    PASSWORD_FORM "PASSWORD-FORM" NOTHING_CHANGED, "The password is not a line of text.", "Give one line in UTF-8, of at most 1000 bytes.";

    /// Unreadable.
    CONFIG_READ "CONFIG-READ" NOTHING_STARTED, "The configuration cannot be read.", "Make archipel.toml a text file that the site may read.";
    /// Not TOML, or not its fields.
    CONFIG_FORM "CONFIG-FORM" NOTHING_STARTED, "The configuration has a mistake.", "Correct the line that is named below.";
    /// A value that does not work.
    CONFIG_VALUE "CONFIG-VALUE" NOTHING_STARTED, "A value of the configuration does not work.", "Correct the field that is named below.";
    /// The page's address.
    HTTP_BIND "HTTP-BIND" NOTHING_STARTED, "The site cannot listen at the address of its page.", "Choose another `http` in archipel.toml, or stop the program that listens there.";
    /// The other sites' address.
    NET_BIND "NET-BIND" NOTHING_STARTED, "The site cannot listen at the address for other sites.", "Choose another `net` in archipel.toml, or stop the program that listens there.";

    /// Nobody answers.
    NODE_STOPPED "NODE-STOPPED" NOTHING_CHANGED, "The node of this folder is not running.", "Start it with `archipel run`.";
    /// An answer that is none.
    NODE_ANSWER "NODE-ANSWER" "What was saved before is safe.", "The node's answer cannot be understood.", "Read the node's log, then try again.";
    /// No such user.
    LOGIN_UNKNOWN "LOGIN-UNKNOWN" NOTHING_CHANGED, "There is no user with this login.", "Check the login.";
    /// No such structure.
    STRUCTURE_UNKNOWN "STRUCTURE-UNKNOWN" NOTHING_CHANGED, "There is no structure with this name.", "Check the name.";
    /// Faults found.
    VERIFY_FAULTS "VERIFY-FAULTS" "What is damaged was not used.", "Some of what is stored does not verify.", "Start the node: it fetches what is damaged from other sites.";

    /// Nobody could call.
    SITE_ADDRESS "SITE-ADDRESS" "No invitation was made.", "This site has no address that others can call.", "Set `advertise` in archipel.toml and start the node again.";
    /// No invitation at all.
    INVITE_FORM "INVITE-FORM" NOTHING_CHANGED, "This is not an invitation: one begins with archipel1-.", "Copy the whole line that `archipel invite` printed.";
    /// Another version's.
    INVITE_VERSION "INVITE-VERSION" NOTHING_CHANGED, "The invitation is of another version of Archipel.", "Use the version that the inviting site runs.";
    /// Letters are missing, doubled or changed.
    INVITE_DAMAGED "INVITE-DAMAGED" NOTHING_CHANGED, "The invitation is damaged.", "Copy the whole line again.";
    /// Past its time.
    INVITE_OLD "INVITE-OLD" NOTHING_CHANGED, "The invitation has expired.", "Ask for a new one.";
    /// Not open at the inviting site.
    INVITE_SPENT "INVITE-SPENT" NOTHING_CHANGED, "The invitation is used, expired, replaced by a newer one, or unknown to the inviting site.", "Ask for a new one.";
    /// Nobody answers.
    JOIN_UNREACHABLE "JOIN-UNREACHABLE" NOTHING_CHANGED, "The inviting site cannot be reached at the addresses below.", "Check that its node runs and that this machine reaches it over UDP, then use the line again.";
    /// Answered and hung up.
    JOIN_SILENT "JOIN-SILENT" NOTHING_CHANGED, "The inviting site was reached but did not answer.", "Try again; if the line is used by then, ask for a new one.";
    /// Its answer makes no sense.
    JOIN_ANSWER "JOIN-ANSWER" NOTHING_CHANGED, "The inviting site's answer cannot be understood.", "Use the version that the inviting site runs, with a new invitation.";
    /// It says no.
    JOIN_REFUSED "JOIN-REFUSED" NOTHING_CHANGED, "The inviting site could not let this one in.", "Read the log of the inviting site.";
    /// Not yet.
    JOIN_LATER "JOIN-LATER" NOTHING_CHANGED, "The inviting site has just started and has heard no other site yet.", "Use the line again in a minute; if the inviting site is alone, `archipel sequencer confirm` there.";
    /// Another organisation.
    JOIN_FOREIGN "JOIN-FOREIGN" NOTHING_CHANGED, "The inviting site belongs to another organisation than the invitation.", "Ask for a new line, from somebody you trust.";
    /// Not a member after all.
    JOIN_NOT_ENROLLED "JOIN-NOT-ENROLLED" NOTHING_CHANGED, "The inviting site did not enrol this one.", "Ask for a new invitation.";

    /// The file does not open.
    IMPORT_READ "IMPORT-READ" NOTHING_IMPORTED, "The file cannot be read.", "Check its path and its rights.";
    /// No line in it.
    IMPORT_EMPTY "IMPORT-EMPTY" NOTHING_IMPORTED, "The file is empty.", "Export the incident log again.";
    /// Too large at once.
    IMPORT_LARGE "IMPORT-LARGE" NOTHING_IMPORTED, "The file is larger than 256 MiB.", "Cut it in parts, each with the first line.";
    /// The first line is no header.
    IMPORT_FORM "IMPORT-FORM" NOTHING_IMPORTED, "The first line is not the header of a table in UTF-8.", "Export the incident log as CSV in UTF-8.";
    /// Columns are missing or doubled.
    IMPORT_COLUMN "IMPORT-COLUMN" NOTHING_IMPORTED, "The table's columns are not those of an incident log.", "Name each column below exactly once in the first line.";

    /// Not text.
    ROW_TEXT "ROW-TEXT" SKIPPED, "The row is not text in UTF-8.", "Export it in UTF-8.";
    /// Longer than the limit.
    ROW_LONG "ROW-LONG" SKIPPED, "The row, or a field of it, is longer than the limit.", "Shorten it.";
    /// A quote without its end.
    ROW_QUOTES "ROW-QUOTES" SKIPPED, "A quotation mark in the row has no end on its line.", "Close it; a row stands on one line.";
    /// Too few or too many.
    ROW_FIELDS "ROW-FIELDS" SKIPPED, "The row has another number of fields than the header.", "Correct its commas.";
    /// No number.
    ROW_NUMBER "ROW-NUMBER" SKIPPED, "The row names no incident.", "Fill its number.";
    /// A state nobody knows.
    ROW_STATE "ROW-STATE" SKIPPED, "The row's state is not one of an incident log.", "Use New, Active, Awaiting ..., Resolved or Closed.";
    /// No time, or none that can be.
    ROW_TIME "ROW-TIME" SKIPPED, "A time in the row cannot be read, or lies before 1970 or in the future.", "Write it as day-month-year hour:minute.";
    /// No level.
    ROW_LEVEL "ROW-LEVEL" SKIPPED, "The impact, urgency or priority in the row is not a number.", "Use 1 to 3 for impact and urgency, 1 to 4 for priority.";
    /// What the rules of tickets refuse.
    ROW_REFUSED "ROW-REFUSED" SKIPPED, "The rules of tickets do not take the row.", "Correct what is named.";
}
