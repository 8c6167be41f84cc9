use crate::outcome::{Errors, Judge, Outcome};
use http::Response;

/// Judges responses by their status, and errors as `J` does.
///
/// 4xx is the client's error, also 429; 5xx is the server's, also 503: a response is what it says, whoever has made it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statuses<J = Errors>(pub(crate) J);

impl<B, E, J: Judge<Response<B>, E>> Judge<Response<B>, E> for Statuses<J> {
    #[inline]
    fn judge(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result.map(|response| response.status().as_u16()) {
            Ok(400..=499) => Outcome::ClientError,
            Ok(500..=599) => Outcome::ServerError,
            _ => self.0.judge(result),
        }
    }
}
