//! Servers and security schemes in the description of an API.

use utoipa::{
    Modify,
    openapi::{
        OpenApi, ServerBuilder,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};

const NO_SCOPES: [&str; 0] = [];

/// Describes an API for users: the headers of the API gateway, or a bearer token.
#[derive(Debug)]
pub struct UserApi;

/// Describes an API for operators: a bearer token, which is optional with `APP_ENV=local`.
#[derive(Debug)]
pub struct OperatorApi;

impl Modify for UserApi {
    fn modify(&self, openapi: &mut OpenApi) {
        let gateway =
            SecurityRequirement::new("gatewayUserId", NO_SCOPES).add("gatewayUserEmail", NO_SCOPES);
        let token = SecurityRequirement::new("userToken", NO_SCOPES);
        describe(
            openapi,
            [
                (
                    "gatewayUserId",
                    header("X-Authenticated-Userid", "Id of the user, set by the gateway"),
                ),
                (
                    "gatewayUserEmail",
                    header("X-Consumer-Username", "E-mail of the user, set by the gateway"),
                ),
                (
                    "userToken",
                    bearer("Token of the user: `sub` is the user's id, `email` the address"),
                ),
            ],
            vec![gateway, token],
        );
    }
}

impl Modify for OperatorApi {
    fn modify(&self, openapi: &mut OpenApi) {
        describe(
            openapi,
            [("operatorToken", bearer("`OPERATOR_TOKEN`, not needed with `APP_ENV=local`"))],
            vec![SecurityRequirement::new("operatorToken", NO_SCOPES)],
        );
    }
}

fn describe<const N: usize>(
    openapi: &mut OpenApi,
    schemes: [(&str, SecurityScheme); N],
    requirements: Vec<SecurityRequirement>,
) {
    let server = ServerBuilder::new().url("/").description(Some("This server")).build();
    openapi.servers = Some(vec![server]);
    openapi.security = Some(requirements);
    let components = openapi.components.get_or_insert_default();
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
}

fn header(name: &str, description: &str) -> SecurityScheme {
    let value = ApiKeyValue::with_description(name, description);
    SecurityScheme::ApiKey(ApiKey::Header(value))
}

fn bearer(description: &str) -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
    SecurityScheme::Http(scheme.build())
}
