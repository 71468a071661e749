//! Who is described by statements: sites, users, devices, services, and what they are given.

use serde::{Deserialize, Serialize};

use super::{MAX_ITEMS, MAX_NAME_BYTES, sorted};
use crate::codec::{Canonical, CodecError, Reader, Tagged, Writer};
use crate::fields::{FieldWriter, Fields};
use crate::id::{DeviceId, ServiceId, SiteId, StructureId, UserId};

/// What somebody may do in a structure: the order is that of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Their own tickets.
    User,
    /// All tickets of the structure, with notes.
    Technician,
    /// What technicians may, and the directory.
    Admin,
}

/// A role, in one structure and those below it, or (`None`) in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Where.
    pub structure: Option<StructureId>,
    /// The role given there.
    pub role: Role,
}

impl Canonical for Grant {
    fn write(&self, out: &mut Writer) {
        out.option(self.structure.as_ref(), |out, structure| structure.write(out));
        out.u8(match self.role {
            Role::User => 1,
            Role::Technician => 2,
            Role::Admin => 3,
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let structure = input.option("structure", Canonical::read)?;
        let role = match input.u8("role")? {
            1 => Role::User,
            2 => Role::Technician,
            3 => Role::Admin,
            _ => return Err(CodecError::Newer { what: "role" }),
        };
        Ok(Self { structure, role })
    }
}

/// Whether somebody or some site still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does.
    Active,
    /// A disabled user or service; a retired site or device.
    Ended,
}

impl Canonical for Standing {
    fn write(&self, out: &mut Writer) {
        out.flag(*self == Self::Active);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(if input.flag("standing")? { Self::Active } else { Self::Ended })
    }
}

/// Scopes that a site holds, or whose people it may enrol: said once, so that a new structure restates nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScopeSelector {
    /// The organisation's own scope and every structure's.
    All,
    /// The organisation's own scope.
    Organisation,
    /// One structure's.
    Structure(StructureId),
    /// A structure's and all below it.
    Below(StructureId),
}

impl Canonical for ScopeSelector {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::All => out.tagged(1, |_| {}),
            Self::Organisation => out.tagged(2, |_| {}),
            Self::Structure(structure) => out.tagged(3, |out| structure.write(out)),
            Self::Below(structure) => out.tagged(4, |out| structure.write(out)),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let tagged = Tagged::read(input)?;
        let mut content = tagged.content();
        let selector = match tagged.tag() {
            1 => Self::All,
            2 => Self::Organisation,
            3 => Self::Structure(Canonical::read(&mut content)?),
            4 => Self::Below(Canonical::read(&mut content)?),
            _ => return Err(CodecError::Newer { what: "scope selector" }),
        };
        content.end()?;
        Ok(selector)
    }
}

/// Sites that may speak for somebody (R11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteSelector {
    /// Every site.
    All,
    /// One site.
    Site(SiteId),
    /// The sites that stand in a structure or below it.
    Below(StructureId),
}

impl Canonical for SiteSelector {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::All => out.tagged(1, |_| {}),
            Self::Site(site) => out.tagged(2, |out| site.write(out)),
            Self::Below(structure) => out.tagged(3, |out| structure.write(out)),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let tagged = Tagged::read(input)?;
        let mut content = tagged.content();
        let selector = match tagged.tag() {
            1 => Self::All,
            2 => Self::Site(Canonical::read(&mut content)?),
            3 => Self::Below(Canonical::read(&mut content)?),
            _ => return Err(CodecError::Newer { what: "site selector" }),
        };
        content.end()?;
        Ok(selector)
    }
}

/// An X25519 public key to which credentials are sealed (R16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealingKey(pub [u8; 32]);

impl Canonical for SealingKey {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.array("a sealing key")?))
    }
}

/// A site as the authority log describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteEntry {
    /// Its key.
    pub site: SiteId,
    /// 2 to 5 capital letters or digits: the head of its ticket numbers.
    pub code: String,
    /// For people.
    pub name: String,
    /// Active or retired.
    pub standing: Standing,
    /// The structure in which it stands, for selectors of sites; `None`: in none.
    pub structure: Option<StructureId>,
    /// The scopes it holds, sorted.
    pub holds: Vec<ScopeSelector>,
    /// The structures for whose people it may enrol (R15), sorted.
    pub enrols: Vec<ScopeSelector>,
    /// To which credentials of its people are sealed; `None`: it takes none.
    pub sealing: Option<SealingKey>,
}

impl SiteEntry {
    pub(super) fn write_fields(&self, out: &mut FieldWriter) {
        out.value(1, &self.site);
        out.text(2, &self.code);
        out.text(3, &self.name);
        out.value(4, &self.standing);
        out.option(5, self.structure.as_ref());
        out.list(6, &self.holds);
        out.list(7, &self.enrols);
        out.option(8, self.sealing.as_ref());
    }
    pub(super) fn read_fields(input: &mut Fields<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            site: input.value(1, "site")?,
            code: input.text(2, MAX_NAME_BYTES, "site code")?,
            name: input.text(3, MAX_NAME_BYTES, "site name")?,
            standing: input.value(4, "standing")?,
            structure: input.option(5)?,
            holds: sorted(input.list(6, MAX_ITEMS, "scopes held")?)?,
            enrols: sorted(input.list(7, MAX_ITEMS, "structures enrolled for")?)?,
            sealing: input.option(8)?,
        })
    }
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// The user.
    pub user: UserId,
    /// Unique in the organisation.
    pub login: String,
    /// What they may do, sorted.
    pub grants: Vec<Grant>,
    /// Which sites may speak for them (R11), sorted.
    pub sites: Vec<SiteSelector>,
    /// Active or disabled.
    pub standing: Standing,
}

impl UserEntry {
    pub(super) fn write_fields(&self, out: &mut FieldWriter) {
        out.value(1, &self.user);
        out.text(2, &self.login);
        out.list(3, &self.grants);
        out.list(4, &self.sites);
        out.value(5, &self.standing);
    }
    pub(super) fn read_fields(input: &mut Fields<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            user: input.value(1, "user")?,
            login: input.text(2, MAX_NAME_BYTES, "login")?,
            grants: sorted(input.list(3, MAX_ITEMS, "grants")?)?,
            sites: sorted(input.list(4, MAX_ITEMS, "sites")?)?,
            standing: input.value(5, "standing")?,
        })
    }
}

/// A desktop of one user (R24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    /// Its key.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// The only site whose admission of its records counts.
    pub home: SiteId,
    /// To which credentials of its user are sealed.
    pub sealing: SealingKey,
    /// Active or ended.
    pub standing: Standing,
    /// For people.
    pub name: String,
}

impl DeviceEntry {
    pub(super) fn write_fields(&self, out: &mut FieldWriter) {
        out.value(1, &self.device);
        out.value(2, &self.user);
        out.value(3, &self.home);
        out.value(4, &self.sealing);
        out.value(5, &self.standing);
        out.text(6, &self.name);
    }
    pub(super) fn read_fields(input: &mut Fields<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            device: input.value(1, "device")?,
            user: input.value(2, "user")?,
            home: input.value(3, "home site")?,
            sealing: input.value(4, "sealing key")?,
            standing: input.value(5, "standing")?,
            name: input.text(6, MAX_NAME_BYTES, "device name")?,
        })
    }
}

/// A service that writes in its own name: mail, directory, agents, automation (R36).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The service.
    pub service: ServiceId,
    /// For people.
    pub name: String,
    /// What it may do, sorted.
    pub grants: Vec<Grant>,
    /// Which sites run it, sorted.
    pub sites: Vec<SiteSelector>,
    /// Active or ended.
    pub standing: Standing,
}

impl ServiceEntry {
    pub(super) fn write_fields(&self, out: &mut FieldWriter) {
        out.value(1, &self.service);
        out.text(2, &self.name);
        out.list(3, &self.grants);
        out.list(4, &self.sites);
        out.value(5, &self.standing);
    }
    pub(super) fn read_fields(input: &mut Fields<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            service: input.value(1, "service")?,
            name: input.text(2, MAX_NAME_BYTES, "service name")?,
            grants: sorted(input.list(3, MAX_ITEMS, "grants")?)?,
            sites: sorted(input.list(4, MAX_ITEMS, "sites")?)?,
            standing: input.value(5, "standing")?,
        })
    }
}

/// What a site says about its people in its own log (R15): the body of an enrolment record. The first one of a user
/// stands at the place that their id names; later ones of the same site disable, unlock or give roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The user; the site itself speaks for them.
    pub user: UserId,
    /// The login asked for.
    pub login: String,
    /// Roles, each in a structure for which the site enrols, sorted.
    pub grants: Vec<Grant>,
    /// Active or disabled.
    pub standing: Standing,
}

impl Canonical for Enrolment {
    fn write(&self, out: &mut Writer) {
        let mut fields = FieldWriter::default();
        fields.value(1, &self.user);
        fields.text(2, &self.login);
        fields.list(3, &self.grants);
        fields.value(4, &self.standing);
        out.raw(&fields.finish());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut fields = Fields::read(input.rest())?;
        let enrolment = Self {
            user: fields.value(1, "user")?,
            login: fields.text(2, MAX_NAME_BYTES, "login")?,
            grants: sorted(fields.list(3, MAX_ITEMS, "grants")?)?,
            standing: fields.value(4, "standing")?,
        };
        fields.end()?;
        Ok(enrolment)
    }
}
