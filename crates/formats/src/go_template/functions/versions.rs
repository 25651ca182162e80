//! Versions (Sprig's `semver.go`).

use std::rc::Rc;

use super::super::constraint;
use super::super::error::Fault;
use super::super::value::{Heap, Value};
use super::super::version::{Version, checked};
use super::{Arguments, Function, Param};
use Param::Text;

pub(super) const ALL: &[Function] = &[
    Function::new("semver", &[Text], |heap, args| {
        heap.pay(512)?;
        Version::read(checked(args.bytes(0)?)?).map(|version| Value::Version(Rc::new(version)))
    }),
    Function::new("semverCompare", &[Text, Text], |heap, args| {
        // Each of a few expressions may look at all that is left for each of its matches.
        let constraint = args.bytes(0)?;
        let size = checked(constraint)?.len();
        heap.pay_bytes(1024 + size.saturating_mul(size))?;
        constraint::is_satisfied(checked(constraint)?, checked(args.bytes(1)?)?).map(Value::Bool)
    }),
];

/// Returns what a method of a version without arguments returns.
pub(in super::super) fn method(heap: &mut Heap, version: &Version, name: &str) -> Result<Value, Fault> {
    match name {
        "Major" => Ok(Value::Uint64(version.major)),
        "Minor" => Ok(Value::Uint64(version.minor)),
        "Patch" => Ok(Value::Uint64(version.patch)),
        "Prerelease" => heap.text(version.pre.as_bytes().to_vec()),
        "Metadata" => heap.text(version.metadata.as_bytes().to_vec()),
        "Original" => heap.text(version.original.as_bytes().to_vec()),
        "String" => heap.text(version.text().as_bytes().to_vec()),
        _ => Err(Fault::Refused(
            "a method of a version other than Major, Minor, Patch, Prerelease, Metadata, Original and String",
        )),
    }
}
