//! The header by which a Core tells its callers where a tenant is: `openkcm-regions: a, b`.
//!
//! So whoever uses keys learns the order of a tenant's regions without asking the Registry. It is advice: a Core tells
//! what it has heard, which may be out of date, and a caller who is refused everywhere in the list looks further.

use crate::RegionId;

/// The header's name. Its value is a list (RFC 9110, section 5.6.1) of regions in the tenant's order.
pub const HEADER: &str = "openkcm-regions";

/// The longest list that is told or believed; a tenant with more regions has its first ones told.
pub const MAX_REGIONS: usize = 32;

/// The header's value; `None` for no regions.
pub fn write(regions: &[RegionId]) -> Option<String> {
    let told = &regions[..regions.len().min(MAX_REGIONS)];
    let names: Vec<&str> = told.iter().map(RegionId::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The regions that a header's value names; `None` when it is no such list.
pub fn read(value: &str) -> Option<Vec<RegionId>> {
    let mut regions: Vec<RegionId> = Vec::new();
    for name in value.split(',') {
        let region: RegionId = name.trim_matches([' ', '\t']).parse().ok()?;
        if regions.len() == MAX_REGIONS {
            return None;
        }
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    Some(regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(names: &[&str]) -> Vec<RegionId> {
        names.iter().map(|name| RegionId::new(name).unwrap()).collect()
    }

    #[test]
    fn a_list_is_read_as_it_was_written_in_its_order() {
        let list = regions(&["eu-2", "a"]);
        assert_eq!(write(&list).as_deref(), Some("eu-2, a"));
        assert_eq!(read("eu-2, a"), Some(list));
        assert_eq!(read("a ,\tb,a"), Some(regions(&["a", "b"])));
        assert_eq!(write(&[]), None);
    }

    #[test]
    fn what_is_no_list_of_regions_is_not_believed() {
        for value in ["", ",", "a,", "a, B", "a b", "a;b", &"x".repeat(64)] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_list_is_no_longer_than_it_may_be() {
        let names: Vec<String> = (0..=MAX_REGIONS).map(|number| format!("r-{number}")).collect();
        let all: Vec<RegionId> = names.iter().map(|name| RegionId::new(name).unwrap()).collect();
        assert_eq!(read(&names.join(",")), None);
        let told = write(&all).and_then(|value| read(&value)).unwrap();
        assert_eq!(told, all[..MAX_REGIONS]);
    }
}
