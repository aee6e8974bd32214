//! Caller and trace of a request, as the use cases need them.

use axum::{extract::FromRequestParts, http::request::Parts};
use rest::{Identity, RequestContext};
use service::http::ApiError;

use crate::domain::caller::{Caller, Origin};

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Identity { user_id, email, email_verified } =
            Identity::from_request_parts(parts, state).await?;
        let RequestContext { traceparent } =
            RequestContext::from_request_parts(parts, state).await?;
        Ok(Self { caller: Caller { user_id, email, email_verified }, traceparent })
    }
}
