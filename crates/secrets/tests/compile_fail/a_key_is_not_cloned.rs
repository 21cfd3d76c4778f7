fn main() {
    let key = openkcm_secrets::SecretKey::generate(&openkcm_host::OsEntropy::new()).unwrap();
    let _copy: openkcm_secrets::SecretKey = key.clone();
}
