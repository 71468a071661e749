//! What belongs to this site alone: sessions, tokens, invitations, alarms that somebody has acknowledged (R16). None of it is replicated; passwords are
//! (`crate::passwords`).
//!
//! Tokens are stored as hashes; a copied file lets nobody in. Times are milliseconds.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, params};
use schema::id::{SiteId, UserId};
use schema::time::Timestamp;

use crate::folder::random;

/// How long a login lasts without use.
const SESSION_MS: u64 = 14 * 24 * 3600 * 1000;
/// How long a one-time link is good.
const LINK_MS: u64 = 10 * 60 * 1000;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A browser's login.
    Session,
    /// A program's.
    Api,
    /// A link that logs in once.
    Link,
}

impl TokenKind {
    fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Api => "api",
            Self::Link => "link",
        }
    }
}

/// The site's own database.
#[derive(Clone)]
pub struct Credentials {
    conn: Arc<Mutex<Connection>>,
}

impl Credentials {
    /// Opens or makes the database.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let conn = Connection::open(path)?;
        conn.busy_timeout(std::time::Duration::from_secs(5))?;
        conn.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             -- Where earlier versions kept passwords, of this site alone.
             DROP TABLE IF EXISTS passwords;
             CREATE TABLE IF NOT EXISTS tokens (hash BLOB PRIMARY KEY, kind TEXT NOT NULL, user TEXT NOT NULL,
               expires INTEGER) WITHOUT ROWID;
             CREATE INDEX IF NOT EXISTS tokens_of ON tokens (user);
             CREATE TABLE IF NOT EXISTS invitations (token BLOB PRIMARY KEY, content TEXT NOT NULL,
               expires INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS admitted (site TEXT PRIMARY KEY, token BLOB NOT NULL) WITHOUT ROWID;
             -- Alarms that somebody has acknowledged, by what they say.
             CREATE TABLE IF NOT EXISTS acknowledged (user TEXT NOT NULL, alarm TEXT NOT NULL,
               PRIMARY KEY (user, alarm)) WITHOUT ROWID;",
        )?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(Self { conn: Arc::new(Mutex::new(conn)) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes a token; it is told once and kept as a hash.
    pub fn new_token(&self, kind: TokenKind, user: &UserId, now: Timestamp) -> anyhow::Result<String> {
        let secret = data_encoding::HEXLOWER.encode(&random::<24>()?);
        let expires = match kind {
            TokenKind::Session => Some(now.0 + SESSION_MS),
            TokenKind::Link => Some(now.0 + LINK_MS),
            TokenKind::Api => None,
        };
        self.lock().execute(
            "INSERT INTO tokens (hash, kind, user, expires) VALUES (?, ?, ?, ?)",
            params![token_hash(&secret), kind.word(), user.to_string(), expires.map(|at| at as i64)],
        )?;
        Ok(secret)
    }

    /// Whose token this is; `None` if it is nobody's, or no longer good.
    pub fn token_user(&self, kind: TokenKind, secret: &str, now: Timestamp) -> anyhow::Result<Option<UserId>> {
        let conn = self.lock();
        let mut found = conn.prepare_cached(
            "SELECT user FROM tokens WHERE hash = ? AND kind = ? AND (expires IS NULL OR expires > ?)",
        )?;
        let user: Option<String> =
            found.query_row(params![token_hash(secret), kind.word(), now.0 as i64], |row| row.get(0)).optional()?;
        Ok(user.and_then(|user| user.parse().ok()))
    }

    /// Ends a token.
    pub fn end_token(&self, secret: &str) -> anyhow::Result<()> {
        self.lock().execute("DELETE FROM tokens WHERE hash = ?", [token_hash(secret)])?;
        Ok(())
    }

    /// Ends everything that somebody has open here, for good.
    pub fn end_all(&self, user: &UserId) -> anyhow::Result<()> {
        self.lock().execute("DELETE FROM tokens WHERE user = ?", [user.to_string()])?;
        Ok(())
    }

    /// Notes that somebody has acknowledged an alarm. Of what they acknowledged before, only what is among `current` stays:
    /// an alarm that comes again is new.
    pub fn acknowledge(&self, user: &UserId, alarm: &str, current: &[String]) -> anyhow::Result<()> {
        let mut conn = self.lock();
        let tx = conn.transaction()?;
        let user = user.to_string();
        tx.execute(
            "DELETE FROM acknowledged WHERE user = ? AND alarm NOT IN (SELECT value FROM json_each(?))",
            params![user, serde_json::to_string(current)?],
        )?;
        tx.execute("INSERT OR IGNORE INTO acknowledged (user, alarm) VALUES (?, ?)", params![user, alarm])?;
        Ok(tx.commit()?)
    }

    /// The alarms that somebody has acknowledged.
    pub fn acknowledged(&self, user: &UserId) -> anyhow::Result<BTreeSet<String>> {
        let conn = self.lock();
        let mut found = conn.prepare_cached("SELECT alarm FROM acknowledged WHERE user = ?")?;
        let rows = found.query_map([user.to_string()], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Keeps an invitation until it is used or expires. One that stands open for the same site code ends, so that
    /// a line that went astray is revoked by making another.
    pub fn keep_invitation(
        &self,
        token: &[u8; 16],
        code: &str,
        content: &str,
        expires: Timestamp,
    ) -> anyhow::Result<()> {
        let conn = self.lock();
        conn.execute("DELETE FROM invitations WHERE json_extract(content, '$.code') = ?", [code])?;
        conn.execute(
            "INSERT INTO invitations (token, content, expires) VALUES (?, ?, ?)",
            params![token_hash(&data_encoding::HEXLOWER.encode(token)), content, expires.0 as i64],
        )?;
        Ok(())
    }

    /// An invitation that stands open.
    pub fn invitation(&self, token: &[u8; 16], now: Timestamp) -> anyhow::Result<Option<String>> {
        let hash = token_hash(&data_encoding::HEXLOWER.encode(token));
        let conn = self.lock();
        let mut found = conn.prepare_cached("SELECT content FROM invitations WHERE token = ? AND expires > ?")?;
        Ok(found.query_row(params![hash, now.0 as i64], |row| row.get(0)).optional()?)
    }

    /// Notes that this site was let in by an invitation. It ends when the site is heard of: the answer that let it in may
    /// have been lost on its way, and then it asks again, with another key.
    pub fn note_admitted(&self, site: &SiteId, token: &[u8; 16]) -> anyhow::Result<()> {
        let hash = token_hash(&data_encoding::HEXLOWER.encode(token));
        let sql = "INSERT OR REPLACE INTO admitted (site, token) VALUES (?, ?)";
        self.lock().execute(sql, params![site.to_string(), hash])?;
        Ok(())
    }

    /// Ends the invitation that let this site in, if it is here for the first time: it is good once.
    pub fn end_invitation_of(&self, site: &SiteId) -> anyhow::Result<()> {
        let conn = self.lock();
        let site = site.to_string();
        let mut found = conn.prepare_cached("SELECT token FROM admitted WHERE site = ?")?;
        let token: Option<Vec<u8>> = found.query_row([&site], |row| row.get(0)).optional()?;
        if let Some(token) = token {
            conn.execute("DELETE FROM invitations WHERE token = ?", [&token])?;
            conn.execute("DELETE FROM admitted WHERE token = ?", [&token])?;
        }
        Ok(())
    }
}

fn token_hash(secret: &str) -> [u8; 32] {
    blake3::derive_key("archipel 2026-11 token", secret.as_bytes())
}
