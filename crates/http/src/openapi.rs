//! The OpenAPI 3.1 document of a component: what all operations share is added here, once.
//!
//! Actors describe their routes and what these alone refuse; this adds the component's title and licence,
//! what opens it, and the problem documents that any operation may answer with. The same code gives
//! the same bytes, so that the document can be committed and compared.

use std::collections::BTreeMap;

use openkcm_contracts::problem::Code;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::{ComponentsBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{PROBLEM_JSON, ProblemBody};

/// The name of the security scheme of a token.
const BEARER: &str = "bearer";

/// The name of the security scheme of a client certificate.
const CERTIFICATE: &str = "certificate";

/// The names of tenants, systems, services and regions, as `openkcm_contracts` checks them.
const DNS_LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

/// Adds to a description of routes what every component has: title, version, licence, security, the four
/// routes of health, and the problem documents of each operation. What an operation already says about a
/// status is left as it is.
pub fn describe(mut openapi: OpenApi, title: &str, description: &str) -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    openapi.merge(crate::health::routes().1);
    openapi.info = InfoBuilder::new()
        .title(title)
        .description(Some(description))
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(license))
        .build();
    // One or the other: how the component is reached decides.
    let by = |scheme: &str| SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []);
    openapi.security = Some(vec![by(BEARER), by(CERTIFICATE)]);
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token in the landscape's credential file, over plain HTTP on loopback."))
        .build();
    let certificate = SecurityScheme::MutualTls {
        description: Some(
            "A client certificate with the SPIFFE id of an administrator, over TLS 1.3.".to_owned(),
        ),
        deprecated: None,
        extensions: None,
    };
    let components = openapi.components.get_or_insert_with(|| ComponentsBuilder::new().build());
    components.security_schemes.insert(BEARER.to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
    components.security_schemes.insert(CERTIFICATE.to_owned(), RefOr::T(certificate));
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    for status in SHARED.iter().map(|shared| shared.status) {
        components.responses.insert(response_name(status), RefOr::T(problem_response(status)));
    }
    for operation in openapi.paths.paths.values_mut().flat_map(operations) {
        add_problems(operation);
        add_name_pattern(operation);
        let optional = has_optional_body(operation, &components.schemas);
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            body.required = Some(if optional { Required::False } else { Required::True });
        }
    }
    openapi
}

/// The document as it is served and committed: indented JSON that ends with a line break.
///
/// # Panics
/// Never for a document that was built by this crate and utoipa's macros: it holds texts and numbers.
pub fn openapi_json(openapi: &OpenApi) -> String {
    let mut text = openapi.to_pretty_json().expect("an OpenAPI document is texts and numbers");
    text.push('\n');
    text
}

/// A status that operations of one kind share.
struct Shared {
    status: u16,
    applies: fn(&Operation) -> bool,
}

const SHARED: [Shared; 10] = [
    Shared { status: 400, applies: takes_input },
    Shared { status: 401, applies: is_guarded },
    Shared { status: 404, applies: has_names },
    Shared { status: 408, applies: |_| true },
    Shared { status: 412, applies: takes_if_match },
    Shared { status: 413, applies: takes_a_body },
    Shared { status: 415, applies: takes_a_body },
    Shared { status: 428, applies: takes_if_match },
    Shared { status: 500, applies: |_| true },
    Shared { status: 503, applies: |_| true },
];

fn add_problems(operation: &mut Operation) {
    for shared in &SHARED {
        let status = shared.status.to_string();
        if (shared.applies)(operation) && !operation.responses.responses.contains_key(&status) {
            let response = Ref::from_response_name(response_name(shared.status));
            operation.responses.responses.insert(status, RefOr::Ref(response));
        }
    }
}

/// Says of the names in an operation's path what they look like. All are DNS labels.
fn add_name_pattern(operation: &mut Operation) {
    let text = SchemaType::new(Type::String);
    let name = ObjectBuilder::new().schema_type(text).pattern(Some(DNS_LABEL)).max_length(Some(63)).build();
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Path
        {
            parameter.schema = Some(RefOr::T(Schema::Object(name.clone())));
        }
    }
}

/// Whether a body may be left out: an empty one is read as `{}` ([`crate::Body`]), which will do where no
/// field is required.
fn has_optional_body(operation: &Operation, schemas: &BTreeMap<String, RefOr<Schema>>) -> bool {
    let Some(RefOr::T(body)) = &operation.request_body else { return false };
    let optional = |content: &RefOr<Content>| {
        let RefOr::T(Content { schema: Some(RefOr::Ref(reference)), .. }) = content else { return false };
        let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
        matches!(schemas.get(name), Some(RefOr::T(Schema::Object(object))) if object.required.is_empty())
    };
    body.content.values().all(optional)
}

fn takes_input(operation: &Operation) -> bool {
    takes_a_body(operation) || parameters(operation).next().is_some()
}

fn is_guarded(operation: &Operation) -> bool {
    operation.security.is_none()
}

fn has_names(operation: &Operation) -> bool {
    parameters(operation).any(|parameter| parameter.parameter_in == ParameterIn::Path)
}

fn takes_a_body(operation: &Operation) -> bool {
    operation.request_body.is_some()
}

fn takes_if_match(operation: &Operation) -> bool {
    parameters(operation).any(|parameter| parameter.name == "If-Match")
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

fn response_name(status: u16) -> String {
    format!("Problem{status}")
}

fn problem_response(status: u16) -> Response {
    let codes: Vec<String> =
        Code::ALL.iter().filter(|code| code.status() == status).map(|code| format!("`{code}`")).collect();
    let body = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    let response = ResponseBuilder::new()
        .description(format!("Refused, with one of these codes: {}.", codes.join(", ")))
        .content(PROBLEM_JSON, body);
    let retryable = Code::ALL.iter().any(|code| code.status() == status && code.retryable());
    if !retryable {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(0));
    let header = HeaderBuilder::new()
        .schema(Some(seconds))
        .description(Some("When to try again, in seconds; with retryable codes."));
    response.header("Retry-After", header.build()).build()
}
