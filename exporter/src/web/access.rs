//! What a proof of who one is gives: nobody sees or does more than that.

use std::sync::Arc;

use crate::metrics::View;

/// What a token is for, or a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The platform's: reads everything, posts audit events.
    #[default]
    All,
    /// Reads everything.
    Read,
    /// Posts audit events and nothing else: an API server's.
    Audit,
    /// Reads what is of this tenant and nothing else.
    Tenant(Arc<str>),
}

/// Somebody has proved who they are, and may not do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("this token is for audit events alone")]
    Read,
    /// Not which tenants there are.
    #[error("this token is another tenant's")]
    Tenant,
    #[error("this token is for reading")]
    Audit,
}

impl Access {
    /// What is shown to whoever asks for one tenant, or for what is theirs.
    pub fn view<'t>(&'t self, asked: Option<&'t str>) -> Result<View<'t>, Forbidden> {
        match (self, asked) {
            (Access::All | Access::Read, None) => Ok(View::Everything),
            (Access::All | Access::Read, Some(tenant)) => Ok(View::Tenant(tenant)),
            (Access::Tenant(own), None) => Ok(View::Tenant(own)),
            (Access::Tenant(own), Some(tenant)) if **own == *tenant => Ok(View::Tenant(own)),
            (Access::Tenant(_), Some(_)) => Err(Forbidden::Tenant),
            (Access::Audit, _) => Err(Forbidden::Read),
        }
    }

    /// Whether audit events are taken of them.
    pub fn posts_audit(&self) -> Result<(), Forbidden> {
        match self {
            Access::All | Access::Audit => Ok(()),
            Access::Read | Access::Tenant(_) => Err(Forbidden::Audit),
        }
    }
}
