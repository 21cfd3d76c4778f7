//! The stored records of version 1 are read as earlier releases wrote them.

use openkcm_registry::store::{KeyRecord, TenantRecord};

const TENANT: &str = include_str!("golden/tenant.v1.json");
const KEY: &str = include_str!("golden/key.v1.json");

#[test]
fn a_tenant_is_written_and_read_as_ever() {
    let record: TenantRecord = serde_json::from_str(TENANT).unwrap();
    assert_eq!(serde_json::to_string_pretty(&record).unwrap(), TENANT.trim_end());
}

#[test]
fn a_key_is_written_and_read_as_ever() {
    let record: KeyRecord = serde_json::from_str(KEY).unwrap();
    assert_eq!(serde_json::to_string_pretty(&record).unwrap(), KEY.trim_end());
}
