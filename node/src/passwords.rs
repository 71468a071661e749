//! Passwords: hashing what is set, checking what is typed (R16).
//!
//! A password holds at every site where its user may log in. The site where it is set seals its verifier to each of them
//! (`sync::replica::Batch::set_credential`); checking one reads what counts here and opens this site's share. Hashing is
//! slow on purpose: call it where blocking is allowed, never on the site's thread.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use schema::access;
use schema::credential::LoginSecrets;
use schema::id::{SiteId, UserId};
use schema::identity::Secret;
use schema::policy::Policy;
use schema::sealing::SealingSecret;
use sync::replica::{WriteError, login_secrets};
use sync::store::Reader;
use sync::store::rows::Wait;

use crate::folder::random;
use crate::refusal::{Refusal, codes};

/// Shortest password.
pub const MIN_PASSWORD: usize = 10;

/// A verifier of nobody's password: unknown users cost the same work.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$YXJjaGlwZWwtbm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Checks passwords at one site, from any thread.
#[derive(Clone)]
pub struct Passwords {
    reader: Reader,
    me: SiteId,
    secret: SealingSecret,
}

impl Passwords {
    /// Those of the site with this key, as its store has them.
    pub fn new(reader: Reader, key: &Secret) -> Self {
        Self { reader, me: key.public(), secret: SealingSecret::of(key) }
    }

    /// Whether this is the user's password here, where this site speaks for them by `policy`. Takes as long for users
    /// without one. Slow on purpose.
    pub fn check(&self, policy: &Policy, user: Option<&UserId>, password: &str) -> anyhow::Result<bool> {
        let secrets = match user {
            Some(user) => login_secrets(&self.reader.read()?, policy, (&self.me, &self.secret), user)?,
            None => None,
        };
        // Another site wrote it: what it asks for is no more than what a password set here costs.
        let verifier = secrets.map(|secrets| secrets.verifier).filter(|verifier| is_affordable(verifier));
        let known = verifier.is_some();
        let verifier = verifier.unwrap_or_else(|| NOBODY.to_owned());
        let Ok(parsed) = PasswordHash::new(&verifier) else {
            return Ok(false);
        };
        let right = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
        Ok(right && known)
    }
}

/// Whether checking against a verifier costs no more memory, passes and lanes than against one that is made here.
fn is_affordable(verifier: &str) -> bool {
    let own = argon2::Params::default();
    let asked = PasswordHash::new(verifier).ok().and_then(|parsed| argon2::Params::try_from(&parsed).ok());
    asked.is_some_and(|asked| {
        asked.m_cost() <= own.m_cost() && asked.t_cost() <= own.t_cost() && asked.p_cost() <= own.p_cost()
    })
}

/// What a password is checked against from now on. Slow on purpose.
/// Errors: it is too short; the system gives no random bytes.
pub fn hash(password: &str) -> anyhow::Result<LoginSecrets> {
    long_enough(password)?;
    let salt: [u8; 16] = random()?;
    let hashed = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    let verifier = hashed.map_err(|error| anyhow::anyhow!("cannot hash a password: {error}"))?.to_string();
    Ok(LoginSecrets { verifier })
}

/// Errors unless the password may be set.
pub fn long_enough(password: &str) -> Result<(), Refusal> {
    let long = password.chars().count() >= MIN_PASSWORD;
    if long { Ok(()) } else { Err(Refusal::new(&codes::PASSWORD_SHORT)) }
}

/// Why a password was not set, where the rules say no: this site does not speak for the user. `None` for anything else.
pub fn refused(error: &WriteError) -> Option<Refusal> {
    let WriteError::Refused(code) = error else {
        return None;
    };
    // Nobody whom the authority log does not know yet is another site's here.
    let elsewhere = [access::Refusal::Speaker.code(), Wait::Enrolment(UserId([0; 16]), SiteId([0; 32])).code()];
    elsewhere.contains(&code.as_str()).then(|| Refusal::new(&codes::PASSWORD_ELSEWHERE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_verifier_is_one_and_costs_what_a_new_one_costs() {
        let cost = |verifier: &str| {
            let parsed = PasswordHash::new(verifier).unwrap();
            (parsed.algorithm.to_string(), parsed.params.to_string())
        };
        assert_eq!(cost(NOBODY), cost(&hash("long enough it is").unwrap().verifier));
        assert!(hash("too short").is_err());
    }

    #[test]
    fn a_verifier_that_costs_more_than_ours_is_not_worked_on() {
        assert!(is_affordable(NOBODY));
        for cost in ["m=2097152,t=2,p=1", "m=19456,t=4294967295,p=1", "m=19456,t=2,p=64", "m=4294967295,t=2,p=1"] {
            assert!(!is_affordable(&NOBODY.replace("m=19456,t=2,p=1", cost)), "{cost}");
        }
        assert!(!is_affordable("$plain$secret"));
    }
}
