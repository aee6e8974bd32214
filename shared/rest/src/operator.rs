//! Operator calls: made with `Authorization: Bearer $OPERATOR_TOKEN`, unless `APP_ENV=local`.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use service::http::{ApiError, Reason};

use super::bearer;
use crate::{Operator, Operators};

/// Middleware of operator calls: answers requests without a valid token with 401.
pub async fn require_operator(
    State(operators): State<Operators>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&operators, request.headers()) {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn identify(operators: &Operators, headers: &HeaderMap) -> Result<Operator, ApiError> {
    let holder = bearer::token(headers).and_then(|token| operators.holder(token));
    match holder {
        Some(operator) => Ok(operator),
        None if !operators.is_required() => Ok(Operator("local".to_owned())),
        None => {
            let message = match operators.own() {
                Some(_) => "an operator call needs Authorization: Bearer with the operator's token",
                None => "operator calls are closed: OPERATOR_TOKEN is not set",
            };
            Err(ApiError::new(Reason::Unauthenticated, message))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let operator = parts.extensions.get::<Self>().cloned();
        operator.ok_or_else(|| {
            ApiError::unexpected("the routes are not wrapped by rest::require_operator")
        })
    }
}
