//! What a test does to its server as the administrator, and as the customer who owns a key.
//!
//! Every call has to succeed: a test that wants a refusal asks through the code under test.

use reqwest::Method;
use serde_json::{Value, json};

use super::OpenBao;

/// Who a component is to an AppRole login.
pub struct AppRole {
    /// The role's id: no secret.
    pub role_id: String,
    /// The secret id: a credential.
    pub secret_id: String,
}

/// The least that a component needs to use `mount`/`key`: no right to make, change or delete a key.
pub fn transit_policy(mount: &str, key: &str) -> String {
    format!(
        "path \"{mount}/encrypt/{key}\" {{ capabilities = [\"update\"] }}\n\
         path \"{mount}/decrypt/{key}\" {{ capabilities = [\"update\"] }}\n\
         path \"{mount}/keys/{key}\" {{ capabilities = [\"read\"] }}\n"
    )
}

impl OpenBao {
    /// One request as root. `path` is what follows `/v1/`; the answer is its JSON, or null.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.admin_in("", method, path, body).await
    }

    /// As [`OpenBao::admin`], in a namespace.
    pub async fn admin_in(&self, namespace: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}/v1/{path}", self.address));
        if !self.root_token.is_empty() {
            request = request.header("X-Vault-Token", &self.root_token);
        }
        if !namespace.is_empty() {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("OpenBao answers its administrator");
        let status = answer.status();
        let text = answer.text().await.expect("a whole answer");
        assert!(status.is_success(), "OpenBao refused {path} with {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Whether there is anything to read at `path`.
    pub async fn has(&self, path: &str) -> bool {
        let request = self.client.get(format!("{}/v1/{path}", self.address));
        let answer = request.header("X-Vault-Token", &self.root_token).send().await;
        answer.expect("OpenBao answers its administrator").status().is_success()
    }

    /// Mounts a secrets engine: `transit`, `kv`, …
    pub async fn mount(&self, kind: &str, path: &str) {
        self.admin(Method::POST, &format!("sys/mounts/{path}"), Some(json!({ "type": kind }))).await;
    }

    /// Unmounts a secrets engine, with everything in it.
    pub async fn unmount(&self, path: &str) {
        self.admin(Method::DELETE, &format!("sys/mounts/{path}"), None).await;
    }

    /// Makes a transit key that can seal: of type aes256-gcm96.
    pub async fn create_key(&self, mount: &str, key: &str) {
        self.create_key_with(mount, key, json!({ "type": "aes256-gcm96" })).await;
    }

    /// Makes a transit key with these parameters.
    pub async fn create_key_with(&self, mount: &str, key: &str, parameters: Value) {
        self.admin(Method::POST, &format!("{mount}/keys/{key}"), Some(parameters)).await;
    }

    /// Changes a transit key's configuration, such as its `min_decryption_version`.
    pub async fn configure_key(&self, mount: &str, key: &str, parameters: Value) {
        self.admin(Method::POST, &format!("{mount}/keys/{key}/config"), Some(parameters)).await;
    }

    /// Gives a transit key a new version.
    pub async fn rotate_key(&self, mount: &str, key: &str) {
        self.admin(Method::POST, &format!("{mount}/keys/{key}/rotate"), Some(json!({}))).await;
    }

    /// Deletes a transit key for good.
    pub async fn delete_key(&self, mount: &str, key: &str) {
        self.configure_key(mount, key, json!({ "deletion_allowed": true })).await;
        self.admin(Method::DELETE, &format!("{mount}/keys/{key}"), None).await;
    }

    /// Disables a transit key, so that it can be restored.
    pub async fn soft_delete_key(&self, mount: &str, key: &str) {
        self.admin(Method::DELETE, &format!("{mount}/keys/{key}/soft-delete"), None).await;
    }

    /// Enables a transit key that was soft-deleted.
    pub async fn restore_key(&self, mount: &str, key: &str) {
        self.admin(Method::POST, &format!("{mount}/keys/{key}/soft-delete-restore"), Some(json!({}))).await;
    }

    /// The names of a mount's transit keys.
    pub async fn keys(&self, mount: &str) -> Vec<String> {
        let answer = self.admin(Method::GET, &format!("{mount}/keys?list=true"), None).await;
        let names = answer["data"]["keys"].as_array().expect("a list of names").iter();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    }

    /// Writes a policy; what it allows holds from the next request on.
    pub async fn put_policy(&self, name: &str, policy: &str) {
        let body = json!({ "policy": policy });
        self.admin(Method::PUT, &format!("sys/policies/acl/{name}"), Some(body)).await;
    }

    /// Removes a policy: tokens that have it lose what it allowed.
    pub async fn delete_policy(&self, name: &str) {
        self.admin(Method::DELETE, &format!("sys/policies/acl/{name}"), None).await;
    }

    /// A token that has one policy.
    pub async fn create_token(&self, policy: &str) -> String {
        self.create_token_with(json!({ "policies": [policy], "ttl": "1h" })).await
    }

    /// A token with these parameters.
    pub async fn create_token_with(&self, parameters: Value) -> String {
        let answer = self.admin(Method::POST, "auth/token/create", Some(parameters)).await;
        answer["auth"]["client_token"].as_str().expect("a token").to_owned()
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, token: &str) {
        self.admin(Method::POST, "auth/token/revoke", Some(json!({ "token": token }))).await;
    }

    /// Turns AppRole logins on; once for each server and mount.
    pub async fn enable_app_role(&self, mount: &str) {
        self.admin(Method::POST, &format!("sys/auth/{mount}"), Some(json!({ "type": "approle" }))).await;
    }

    /// Makes a role with these parameters (`token_policies`, `token_ttl`, …), and one secret id for it.
    pub async fn create_app_role(&self, mount: &str, role: &str, parameters: Value) -> AppRole {
        let path = format!("auth/{mount}/role/{role}");
        self.admin(Method::POST, &path, Some(parameters)).await;
        let id = self.admin(Method::GET, &format!("{path}/role-id"), None).await;
        let secret = self.admin(Method::POST, &format!("{path}/secret-id"), Some(json!({}))).await;
        AppRole {
            role_id: id["data"]["role_id"].as_str().expect("a role id").to_owned(),
            secret_id: secret["data"]["secret_id"].as_str().expect("a secret id").to_owned(),
        }
    }
}
