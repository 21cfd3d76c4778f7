//! A key that could be serialized would leave locked memory: this must not compile.

fn store<T: serde::Serialize>(_: &T) {}

fn main() {
    let key = openkcm_secrets::SecretKey::generate(&openkcm_host::OsEntropy::new()).unwrap();
    store(&key);
}
