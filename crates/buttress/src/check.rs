use tower_service::Service;

/// Makes the compiler name the bound that a stack is missing; does nothing else.
///
/// A method call on a stack that is not quite a `Service` only says that some bounds were not satisfied.
/// `check` asks for `Service<Req>` itself, so that the compiler follows it to the layer, and to the bound.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "limit")] {
/// use buttress::{check, limit::TimeoutLayer};
/// use std::time::Duration;
/// use tower::{BoxError, ServiceBuilder, service_fn};
///
/// let stack = ServiceBuilder::new()
///     .layer(TimeoutLayer::new("search", Duration::from_secs(1)))
///     .service(service_fn(|query: String| async move { Ok::<_, BoxError>(query) }));
/// check::<String, _>(&stack);
/// # }
/// ```
///
/// An error type that cannot carry a refusal is named, with the trait that it misses:
///
/// ```compile_fail,E0277
/// # #[cfg(not(feature = "limit"))] compile_error!("needs the feature limit");
/// use buttress::{check, limit::TimeoutLayer};
/// use std::time::Duration;
/// use tower::{BoxError, ServiceBuilder, service_fn};
///
/// struct AppError; // no `impl From<Rejected> for AppError`
///
/// let stack = ServiceBuilder::new()
///     .layer(TimeoutLayer::new("search", Duration::from_secs(1)))
///     .service(service_fn(|query: String| async move { Ok::<_, AppError>(query) }));
/// check::<String, _>(&stack); // the trait bound `AppError: From<Rejected>` is not satisfied
/// ```
pub fn check<Req, S: Service<Req>>(stack: &S) {
    let _ = stack;
}
