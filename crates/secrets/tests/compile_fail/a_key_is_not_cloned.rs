//! A key that could be cloned would be in memory twice: this must not compile.

fn main() {
    let key = openkcm_secrets::SecretKey::generate(&openkcm_host::OsEntropy::new()).unwrap();
    let _copy: openkcm_secrets::SecretKey = key.clone();
}
