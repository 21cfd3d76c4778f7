//! Plaintext on its way through is neither cloned nor serialized: this must not compile.

fn store<T: serde::Serialize>(_: &T) {}

fn main() {
    let plaintext = openkcm_secrets::SecretBytes::zeroed(32);
    let _copy: openkcm_secrets::SecretBytes = plaintext.clone();
    store(&plaintext);
}
