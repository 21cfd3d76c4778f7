//! How routes that several actors have come to what they are about: the state of the actor's routes holds it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// What the state of an actor's routes must be, for shared routes about a `T` to be among them.
pub trait Holds<T> {
    /// The actor's own.
    fn held(&self) -> T;
}

impl<T, S: Holds<T>> Holds<T> for Arc<S> {
    fn held(&self) -> T {
        S::held(self)
    }
}

/// What a route is about, taken from the state.
pub(crate) struct Of<T>(pub(crate) T);

impl<T, S: Holds<T> + Sync> FromRequestParts<S> for Of<T> {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(state.held()))
    }
}
