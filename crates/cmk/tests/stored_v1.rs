//! The stored records of version 1 are read as earlier releases wrote them.

use openkcm_cmk::store::{Pointer, Tenant};

const POINTER: &str = include_str!("golden/pointer.v1.json");
const TENANT: &str = include_str!("golden/tenant.v1.json");

#[test]
fn a_pointer_is_written_and_read_as_ever() {
    let pointer: Pointer = serde_json::from_str(POINTER).unwrap();
    assert_eq!(serde_json::to_string_pretty(&pointer).unwrap(), POINTER.trim_end());
}

#[test]
fn a_tenant_is_written_and_read_as_ever() {
    let tenant: Tenant = serde_json::from_str(TENANT).unwrap();
    assert_eq!(serde_json::to_string_pretty(&tenant).unwrap(), TENANT.trim_end());
}
