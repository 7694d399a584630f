//! Who sends a request, once that is known, and what it may therefore touch.

use crate::RESERVED_TENANT;
use crate::refusal::{Reason, Refusal};
use nilometer_model::Tenant;
use std::fmt;

/// One thing that a credential allows. None includes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Send samples of the credential's own tenant.
    Write,
    /// Query the credential's own tenant.
    Read,
    /// Query all tenants.
    ReadAll,
    /// Take snapshots, reload files.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Scope::Write, Scope::Read, Scope::ReadAll, Scope::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Write => "write",
            Scope::Read => "read",
            Scope::ReadAll => "read-all",
            Scope::Admin => "admin",
        }
    }
}

/// A set of [`Scope`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub const ALL: Scopes = Scopes(0b1111);

    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Scopes(self.0 | 1 << scope as u8)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        scopes.into_iter().fold(Scopes::default(), Scopes::with)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for scope in Scope::ALL.into_iter().filter(|&s| self.contains(s)) {
            write!(f, "{between}{}", scope.as_str())?;
            between = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// The owner of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For logs: whose credential, and which one. Never the credential itself.
    pub name: String,
    /// The one tenant that this credential can write to and, with [`Scope::Read`], read. `None` for
    /// operators, who cannot write, and where there is no tenants file.
    pub tenant: Option<Tenant>,
    pub scopes: Scopes,
}

/// Which tenants a query sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadScope {
    All,
    Only(Tenant),
}

impl Identity {
    /// Everyone, where there is no tenants file.
    pub(crate) fn anyone() -> Self {
        Identity { name: "anyone".into(), tenant: None, scopes: Scopes::ALL }
    }

    pub fn require(&self, scope: Scope) -> Result<(), Refusal> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::MissingScope,
            format!("this needs scope {}; {} has {}", scope.as_str(), self.name, self.scopes),
        ))
    }

    /// The tenant that a write goes to. With a tenants file it is the credential's, and `header` may only
    /// say the same; without one, `header` or `default` picks it.
    pub(crate) fn resolve_write(&self, header: Option<&str>, default: &Tenant) -> Result<Tenant, Refusal> {
        self.require(Scope::Write)?;
        let tenant = match &self.tenant {
            Some(own) => self.own_or_refused(own, header)?,
            None => named(header)?.unwrap_or_else(|| default.clone()),
        };
        if tenant.as_str() == RESERVED_TENANT {
            return Err(Refusal::new(
                Reason::ReservedTenant,
                format!(
                    "tenant {RESERVED_TENANT} holds the hub's own metrics: choose another name to write to"
                ),
            ));
        }
        Ok(tenant)
    }

    /// What a query sees. `enforce` is `--query.enforce-tenancy`: the header narrows a query that could see
    /// all; `default` is Thanos' default tenant, which stands for a missing header then, where there is no
    /// tenants file.
    pub(crate) fn resolve_read(
        &self,
        header: Option<&str>,
        enforce: bool,
        default: &Tenant,
    ) -> Result<ReadScope, Refusal> {
        if self.scopes.contains(Scope::ReadAll) {
            if !enforce {
                return Ok(ReadScope::All);
            }
            // A `read-all` credential of a tenants file may see all: without a header nothing narrows that.
            let anyone = self.tenant.is_none() && self.scopes == Scopes::ALL;
            return Ok(match named(header)? {
                Some(tenant) => ReadScope::Only(tenant),
                None if anyone => ReadScope::Only(default.clone()),
                None => ReadScope::All,
            });
        }
        self.require(Scope::Read)?;
        match &self.tenant {
            Some(own) => Ok(ReadScope::Only(self.own_or_refused(own, header)?)),
            // Only `read-all` makes sense without a tenant, and the tenants file refuses anything else.
            None => Err(Refusal::new(Reason::MissingScope, format!("{} has no tenant to read", self.name))),
        }
    }

    fn own_or_refused(&self, own: &Tenant, header: Option<&str>) -> Result<Tenant, Refusal> {
        match named(header)? {
            Some(other) if other != *own => Err(Refusal::new(
                Reason::OtherTenant,
                format!(
                    "the header says tenant {other}, but {} belongs to tenant {own}: remove the header, or use \
                     the other tenant's credential",
                    self.name
                ),
            )),
            _ => Ok(own.clone()),
        }
    }
}

/// The tenant that a header names; an empty one names none, as in Thanos.
fn named(header: Option<&str>) -> Result<Option<Tenant>, Refusal> {
    match header {
        None | Some("") => Ok(None),
        Some(name) => Tenant::new(name)
            .map(Some)
            .map_err(|e| Refusal::new(Reason::BadTenantName, format!("tenant header: {}", e.message()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fmt::Write;

    fn identities() -> Vec<Identity> {
        let of = |name: &str, tenant: Option<&str>, scopes: &[Scope]| Identity {
            name: name.into(),
            tenant: tenant.map(|t| Tenant::new(t).unwrap()),
            scopes: scopes.iter().copied().collect(),
        };
        vec![
            Identity::anyone(),
            of("writer", Some("a"), &[Scope::Write]),
            of("reader", Some("a"), &[Scope::Read]),
            of("both", Some("a"), &[Scope::Write, Scope::Read]),
            of("overseer", Some("a"), &[Scope::Write, Scope::ReadAll]),
            of("operator", None, &[Scope::ReadAll, Scope::Admin]),
            of("admin", None, &[Scope::Admin]),
        ]
    }

    const HEADERS: [Option<&str>; 5] = [None, Some(""), Some("a"), Some("b"), Some("../b")];

    fn tell<T: fmt::Debug>(out: &mut String, who: &str, header: Option<&str>, got: Result<T, Refusal>) {
        let header = header.unwrap_or("-");
        match got {
            Ok(got) => writeln!(out, "{who:9}{header:5}{got:?}").unwrap(),
            Err(e) => writeln!(out, "{who:9}{header:5}{} {}", e.status(), e.reason.as_str()).unwrap(),
        }
    }

    #[test]
    fn writes() {
        let (mut out, default) = (String::new(), Tenant::new("dflt").unwrap());
        for identity in identities() {
            for header in HEADERS {
                tell(&mut out, &identity.name, header, identity.resolve_write(header, &default));
            }
        }
        expect![[r#"
            anyone   -    "dflt"
            anyone        "dflt"
            anyone   a    "a"
            anyone   b    "b"
            anyone   ../b 400 bad_tenant_name
            writer   -    "a"
            writer        "a"
            writer   a    "a"
            writer   b    403 other_tenant
            writer   ../b 400 bad_tenant_name
            reader   -    403 missing_scope
            reader        403 missing_scope
            reader   a    403 missing_scope
            reader   b    403 missing_scope
            reader   ../b 403 missing_scope
            both     -    "a"
            both          "a"
            both     a    "a"
            both     b    403 other_tenant
            both     ../b 400 bad_tenant_name
            overseer -    "a"
            overseer      "a"
            overseer a    "a"
            overseer b    403 other_tenant
            overseer ../b 400 bad_tenant_name
            operator -    403 missing_scope
            operator      403 missing_scope
            operator a    403 missing_scope
            operator b    403 missing_scope
            operator ../b 403 missing_scope
            admin    -    403 missing_scope
            admin         403 missing_scope
            admin    a    403 missing_scope
            admin    b    403 missing_scope
            admin    ../b 403 missing_scope
        "#]]
        .assert_eq(&out);
    }

    #[test]
    fn reads() {
        let (mut out, default) = (String::new(), Tenant::new("dflt").unwrap());
        for enforce in [false, true] {
            writeln!(out, "enforce {enforce}").unwrap();
            for identity in identities() {
                for header in HEADERS {
                    tell(&mut out, &identity.name, header, identity.resolve_read(header, enforce, &default));
                }
            }
        }
        expect![[r#"
            enforce false
            anyone   -    All
            anyone        All
            anyone   a    All
            anyone   b    All
            anyone   ../b All
            writer   -    403 missing_scope
            writer        403 missing_scope
            writer   a    403 missing_scope
            writer   b    403 missing_scope
            writer   ../b 403 missing_scope
            reader   -    Only("a")
            reader        Only("a")
            reader   a    Only("a")
            reader   b    403 other_tenant
            reader   ../b 400 bad_tenant_name
            both     -    Only("a")
            both          Only("a")
            both     a    Only("a")
            both     b    403 other_tenant
            both     ../b 400 bad_tenant_name
            overseer -    All
            overseer      All
            overseer a    All
            overseer b    All
            overseer ../b All
            operator -    All
            operator      All
            operator a    All
            operator b    All
            operator ../b All
            admin    -    403 missing_scope
            admin         403 missing_scope
            admin    a    403 missing_scope
            admin    b    403 missing_scope
            admin    ../b 403 missing_scope
            enforce true
            anyone   -    Only("dflt")
            anyone        Only("dflt")
            anyone   a    Only("a")
            anyone   b    Only("b")
            anyone   ../b 400 bad_tenant_name
            writer   -    403 missing_scope
            writer        403 missing_scope
            writer   a    403 missing_scope
            writer   b    403 missing_scope
            writer   ../b 403 missing_scope
            reader   -    Only("a")
            reader        Only("a")
            reader   a    Only("a")
            reader   b    403 other_tenant
            reader   ../b 400 bad_tenant_name
            both     -    Only("a")
            both          Only("a")
            both     a    Only("a")
            both     b    403 other_tenant
            both     ../b 400 bad_tenant_name
            overseer -    All
            overseer      All
            overseer a    Only("a")
            overseer b    Only("b")
            overseer ../b 400 bad_tenant_name
            operator -    All
            operator      All
            operator a    Only("a")
            operator b    Only("b")
            operator ../b 400 bad_tenant_name
            admin    -    403 missing_scope
            admin         403 missing_scope
            admin    a    403 missing_scope
            admin    b    403 missing_scope
            admin    ../b 403 missing_scope
        "#]]
        .assert_eq(&out);
    }

    #[test]
    fn nobody_writes_to_the_reserved_tenant() {
        let default = Tenant::new("dflt").unwrap();
        let refusal = Identity::anyone().resolve_write(Some(RESERVED_TENANT), &default).unwrap_err();
        expect![["tenant nilometer holds the hub's own metrics: choose another name to write to"]]
            .assert_eq(&refusal.message);
        let reserved = Tenant::new(RESERVED_TENANT).unwrap();
        assert!(Identity::anyone().resolve_write(None, &reserved).is_err(), "not by default either");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let default = Tenant::new("dflt").unwrap();
        let reader = &identities()[2];
        expect![["this needs scope write; reader has read"]]
            .assert_eq(&reader.resolve_write(None, &default).unwrap_err().message);
        expect!["the header says tenant b, but reader belongs to tenant a: remove the header, or use the other tenant's credential"].assert_eq(&reader.resolve_read(Some("b"), false, &default).unwrap_err().message);
    }
}
