//! What people or operators must hear of.

use schema::authority::AuthorityRef;
use schema::id::{GenerationId, ScopeId, SiteId};

/// What is wrong, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A younger generation of this site's own key writes somewhere (R1).
    CloneRunning(GenerationId),
    /// Records of this site came back that its disk had lost.
    OwnRecordsBack,
    /// Documents differ although the records are the same; (R22).
    Diverged(ScopeId),
    /// A key signed two histories of a log (R20).
    Forked(SiteId),
    /// This site was set back with its memory, and went on from there: its own log forked (R20).
    SetBack,
    /// A key was revoked because its logs forked too often within a day (R20).
    RevokedForForks(SiteId),
    /// Two statements of the authority log stand at one position: the sequencer's key was used twice (R14).
    AuthorityForked(AuthorityRef),
    /// A site begins logs faster than it closes them, and is slowed (R1).
    Slowed(SiteId),
    /// A peer sent what no honest peer sends.
    Refused(SiteId, &'static str),
}

impl Alarm {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CloneRunning(_) => "CLONE-RUNNING",
            Self::OwnRecordsBack => "OWN-RECORDS-BACK",
            Self::Diverged(_) => "DOCS-DIVERGED",
            Self::Forked(_) => "LOG-FORKED",
            Self::SetBack => "SET-BACK",
            Self::RevokedForForks(_) => "KEY-REVOKED",
            Self::AuthorityForked(_) => "AUTHORITY-FORKED",
            Self::Slowed(_) => "SITE-SLOWED",
            Self::Refused(..) => "PEER-REFUSED",
        }
    }
}
