//! `type: webhook`.

use saphyr::Marker;

use super::{
    super::walk::{Errors, Map},
    target,
};
use crate::sinks::webhook::{Form, Settings};

pub(super) fn read(at: Marker, entry: &mut Map<'_>, errors: &mut Errors) -> Option<Settings> {
    let target = target::read(at, entry, errors);
    let form = entry.string("format", errors);
    let forms = [("single", Form::Single), ("array", Form::Array), ("lines", Form::Lines)];
    let form = errors.choice(form, &forms, Form::default());
    Some(Settings { target: target?, form })
}
